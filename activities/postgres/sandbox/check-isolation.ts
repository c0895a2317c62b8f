/** Evidence that a sandbox is one (invariant 5): it archives nothing, follows nobody, accepts no writes, and is known by its name. */
import type pg from 'pg';

import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import { checkOf } from './evidence.js';
import { clusterName } from './settings.js';

/** Settings that must be as they are; read from the running server, not from what it was told. */
function isolationWanted(sandbox: string, dataDir: string): Record<string, string> {
  return {
    archive_mode: 'off',
    primary_conninfo: '',
    primary_slot_name: '',
    listen_addresses: '127.0.0.1',
    max_logical_replication_workers: '0',
    default_transaction_read_only: 'on',
    cluster_name: clusterName(sandbox),
    data_directory: dataDir,
  };
}

/** One row; its `actual` names every setting that is not as wanted. */
export async function isolationCheck(client: pg.Client, sandbox: string, dataDir: string): Promise<EvidenceCheck> {
  const wanted = isolationWanted(sandbox, dataDir);
  const expected = 'in recovery, read-only, archive_mode off, no primary, loopback only, own cluster_name';
  return checkOf('sandbox-isolated', expected, async () => {
    const recovering = await client.query<{ yes: boolean }>('select pg_is_in_recovery() as yes');
    const { rows } = await client.query<{ name: string; setting: string }>(
      'select name, setting from pg_settings where name = any($1)',
      [Object.keys(wanted)],
    );
    const found = new Map(rows.map((row) => [row.name, row.setting]));
    const wrong = Object.entries(wanted)
      .filter(([name, value]) => found.get(name) !== value)
      .map(([name]) => `${name} is ${found.get(name) ?? 'unknown'}`);
    if (recovering.rows[0]?.yes !== true)
      wrong.unshift('not in recovery any more: it accepts writes, so it is tainted');
    return { actual: wrong.length === 0 ? 'all as expected' : wrong.join('; '), ok: wrong.length === 0 };
  });
}
