/** The standby that takes over: made ready to promote at once, promoted, and given its own settings back. */
import type pg from 'pg';

import { compareLsn, type Lsn } from '../../../shared/lsn.js';
import { parseHistory, historyName } from '../../../shared/timeline.js';
import { stepFailure } from '../../lib/failure.js';
import { errorText } from './error-text.js';
import type { Flip } from './flip-context.js';
import type { FormerSettings } from './flip-note.js';
import { lsnOrNull } from './lsn-text.js';
import { waitUntil } from './wait-until.js';

/** End of recovery of a standby that has nothing left to replay takes 10 to 50 ms; a busy one first replays what it has. */
const PROMOTE_TIMEOUT_MS = 120_000;
const RELOAD_TIMEOUT_MS = 5_000;
/** WAL that the summarizer has not read, or the old primary has not archived, when the flip begins. */
const KEEP_MEGABYTES = 1_024;

type Current = { restoreCommand: string; summarizes: boolean; keepsMegabytes: number };

/**
 * What would delay a promotion: after the end of streaming, recovery looks into the archive and sleeps between its looks (5 s by default); an archive
 * that does not answer holds it up for minutes. While the archive knows later timelines it must be asked, or the promotion chooses one of them. The WAL
 * summarizer is waited for at the end of recovery (100 to 200 ms, measured); what it has not read meanwhile is kept for it.
 */
function settingsFor(flip: Flip, now: Current): Record<string, string> {
  const clears = now.restoreCommand !== '' && flip.plan.laterTimelines.length === 0;
  return {
    wal_retrieve_retry_interval: '10ms',
    ...(clears ? { restore_command: '' } : {}),
    wal_keep_size: `${String(Math.max(now.keepsMegabytes, KEEP_MEGABYTES))}MB`,
    ...(now.summarizes ? { summarize_wal: 'off' } : {}),
  };
}

async function readCurrent(client: pg.Client): Promise<Current> {
  const { rows } = await client.query<Current>(
    `select current_setting('restore_command') as "restoreCommand", coalesce(current_setting('summarize_wal', true), 'off') = 'on' as summarizes,
            (select setting::int from pg_settings where name = 'wal_keep_size') as "keepsMegabytes"`,
  );
  return rows[0] ?? { restoreCommand: '', summarizes: false, keepsMegabytes: 0 };
}

/** What the candidate's postgresql.auto.conf says now about what {@link tuneCandidate} changes. */
export async function readTuning(
  flip: Flip,
  client: pg.Client,
): Promise<{ wanted: Record<string, string>; former: FormerSettings }> {
  const wanted = settingsFor(flip, await readCurrent(client));
  const names = Object.keys(wanted);
  const { rows } = await client.query<{ name: string; setting: string }>(
    `select distinct on (name) name, setting from pg_file_settings
      where name = any($1) and sourcefile like '%/postgresql.auto.conf' order by name, seqno desc`,
    [names],
  );
  const former = names.map((name) => [name, rows.find((row) => row.name === name)?.setting ?? null] as const);
  return { wanted, former: Object.fromEntries(former) };
}

/** Needs the former values to be on disk, so that whoever comes after us can put them back. Throws DatabaseUnavailable when the server does not take them over. */
export async function tuneCandidate(
  flip: Flip,
  client: pg.Client,
  wanted: Readonly<Record<string, string>>,
): Promise<void> {
  await alter(client, wanted);
  const taken = await waitUntil(
    async () => {
      const { rows } = await client.query<{ value: string }>(
        "select current_setting('wal_retrieve_retry_interval') as value",
      );
      return rows[0]?.value === '10ms' ? true : null;
    },
    RELOAD_TIMEOUT_MS,
    5,
  );
  if (taken === null) throw stepFailure('DatabaseUnavailable', `${flip.to.name} did not reload its configuration`);
}

/** In the order in which retention never has a gap: the summarizer first, what is kept for it last. May be repeated. */
export async function restoreSettings(client: pg.Client, former: FormerSettings): Promise<void> {
  if (Object.keys(former).length === 0) return;
  const { wal_keep_size: kept, ...rest } = former;
  await alter(client, rest);
  if (kept !== undefined) await alter(client, { wal_keep_size: kept });
}

async function alter(client: pg.Client, values: Readonly<Record<string, string | null>>): Promise<void> {
  for (const [name, value] of Object.entries(values)) {
    const change = value === null ? `reset ${name}` : `set ${name} = ${client.escapeLiteral(value)}`;
    await client.query(`alter system ${change}`);
  }
  await client.query('select pg_reload_conf()');
}

/** Returns once the candidate has replayed the record that starts at `lsn` (`record`), or everything up to it (`position`); null when it has not in time. */
export async function waitForReplay(
  client: pg.Client,
  lsn: Lsn,
  kind: 'record' | 'position',
  timeoutMs: number,
): Promise<Lsn | null> {
  return waitUntil(async () => {
    const { rows } = await client.query<{ lsn: string | null }>('select pg_last_wal_replay_lsn()::text as lsn');
    const replayed = lsnOrNull(rows[0]?.lsn);
    if (replayed === null) return null;
    const order = compareLsn(replayed, lsn);
    return order > 0 || (kind === 'position' && order === 0) ? replayed : null;
  }, timeoutMs);
}

type Names = Record<'from' | 'to', Pick<Flip['from'], 'name'>>;

/**
 * Promotes and returns once it accepts writes. `pg_promote(true)` would look ten times a second only. A second call while a promotion is under way changes
 * nothing. Throws DatabaseUnavailable.
 */
export async function promote(flip: Names, client: pg.Client): Promise<void> {
  if (!(await isInRecovery(client))) return;
  const hint = `read its server log; ${flip.from.name} stays fenced; then \`pgr retry\``;
  const done = await orderPromotion(client).catch((cause: unknown) => {
    const why = `${flip.to.name} was told to promote itself and does not answer any more: ${errorText(cause)}`;
    throw stepFailure('DatabaseUnavailable', why, { hint, cause });
  });
  if (done) return;
  throw stepFailure('DatabaseUnavailable', `${flip.to.name} was told to promote itself and is still in recovery`, {
    hint,
  });
}

async function orderPromotion(client: pg.Client): Promise<boolean> {
  await client.query('select pg_promote(false)');
  return (await waitUntil(async () => ((await isInRecovery(client)) ? null : true), PROMOTE_TIMEOUT_MS)) !== null;
}

async function isInRecovery(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
  return rows[0]?.standby !== false;
}

export type Fork = { timeline: number; switchLsn: Lsn };

/** Timeline of the promoted server and where it begins, from its own history file. */
export async function readFork(client: pg.Client): Promise<Fork> {
  const { rows } = await client.query<{ timeline: number }>(
    `select ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int as timeline`,
  );
  const timeline = rows[0]?.timeline ?? 0;
  const history = await client.query<{ text: string }>('select pg_read_file($1) as text', [
    `pg_wal/${historyName(timeline)}`,
  ]);
  const last = parseHistory(history.rows[0]?.text ?? '')?.at(-1);
  if (last !== undefined) return { timeline, switchLsn: last.switchLsn };
  throw stepFailure('EvidenceFailed', `the history file of timeline ${String(timeline)} does not say where it begins`);
}
