/** Evidence about the restore itself and the cluster around it. */
import type pg from 'pg';

import type { DumpPlan, RestoreDumpResult } from '../../../shared/contracts/dump.js';
import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import { checkOf } from '../sandbox/evidence.js';
import { clusterName } from '../sandbox/settings.js';
import type { RestoredMark } from './restore-program.js';

const MOST_SHOWN = 5;

/** No error is passed over in silence: harmless ones are counted too, all others make the row bad. */
export function errorsCheck(result: RestoreDumpResult | null): EvidenceCheck {
  const check = 'restore-errors';
  const expected = 'the restore came to its end without errors';
  if (result === null) return { check, expected, actual: 'unknown: there is no completion mark', ok: false };
  const { errorCount, harmlessCount, errors } = result;
  const bad = errorCount - harmlessCount;
  const notes = errors.filter(({ harmless }) => harmless).map(({ message }) => message);
  const shown = errors.filter(({ harmless }) => !harmless).slice(0, MOST_SHOWN);
  return {
    check,
    expected,
    actual:
      bad === 0
        ? `no errors${harmlessCount === 0 ? '' : `, ${String(harmlessCount)} harmless`}`
        : `${String(bad)} errors: ${shown.map(({ message }) => message).join('; ')}`,
    ok: bad === 0,
    ...(notes.length === 0 ? {} : { note: `harmless: ${notes.slice(0, MOST_SHOWN).join('; ')}` }),
  };
}

/** A cluster of its own, not a copy: nothing of production's archive fits it. */
export function identityCheck(systemIdentifier: string, { replaces }: DumpPlan): EvidenceCheck {
  const known = replaces === null ? 'production is not there to compare' : `production is ${replaces}`;
  return {
    check: 'new-cluster',
    expected: 'a system identifier of its own',
    actual: `${systemIdentifier}; ${known}`,
    ok: systemIdentifier !== '' && systemIdentifier !== replaces,
  };
}

const WANTED = {
  archive_mode: 'off',
  archive_command: '',
  primary_conninfo: '',
  listen_addresses: '127.0.0.1',
  max_logical_replication_workers: '0',
  max_wal_senders: '0',
  default_transaction_read_only: 'on',
} as const;

/** Nothing that happens in it reaches anybody else (invariant 5). */
export async function isolationCheck(client: pg.Client, sandbox: string, dataDir: string): Promise<EvidenceCheck> {
  const expected = 'read-only, archive_mode off, nobody follows it, loopback only, own cluster_name';
  return checkOf('sandbox-isolated', expected, async () => {
    const wanted: Record<string, string> = { ...WANTED, cluster_name: clusterName(sandbox), data_directory: dataDir };
    const { rows } = await client.query<{ name: string; setting: string }>(
      // Of the server, not of this session: what a database or role sets counts less than what everybody gets.
      'select name, coalesce(reset_val, setting) as setting from pg_settings where name = any($1)',
      [Object.keys(wanted)],
    );
    const found = new Map(rows.map((row) => [row.name, row.setting]));
    const wrong = Object.entries(wanted)
      .filter(
        ([name, value]) =>
          found.get(name) !== value && !(name === 'archive_command' && found.get(name) === '(disabled)'),
      )
      .map(([name]) => `${name} is ${found.get(name) ?? 'unknown'}`);
    return { actual: wrong.length === 0 ? 'all as expected' : wrong.join('; '), ok: wrong.length === 0 };
  });
}

/** Every transaction that writes takes the next transaction id, so a later one than the restore left says that somebody wrote. */
export async function untouchedCheck(client: pg.Client, mark: RestoredMark | null): Promise<EvidenceCheck> {
  const expected = mark === null ? 'unknown' : `next transaction id ${mark.nextXid}`;
  return checkOf('untouched', expected, async () => {
    const nextXid = await readNextXid(client);
    const ok = mark !== null && nextXid === mark.nextXid;
    return { actual: ok ? nextXid : `${nextXid}: somebody wrote into it since the restore`, ok };
  });
}

async function readNextXid(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ xid: string }>('select pg_snapshot_xmax(pg_current_snapshot())::text as xid');
  return rows[0]?.xid ?? '';
}
