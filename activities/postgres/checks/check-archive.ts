/** The archive and the backups: without them there is nothing to recover from. */
import { MAIN_STORE, type NodeConfig } from '../../../config/schema.js';
import type { WindowResult } from '../../../shared/contracts/plan.js';
import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import { compareTimestamps, secondsBetween } from '../../../shared/target-time.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, storeNamesOf } from '../../lib/environment-config.js';
import { connectNode } from '../connection.js';
import { readArchiver, readArchiveSettings } from '../promotion/archive-wait.js';
import { archivingProblem, archivingProblemWith } from '../promotion/production-settings.js';
import { createReadWindow } from '../read-window.js';
import { age, attempt, row } from './check-row.js';

/** A daily base that is late by a quarter of a day is one that did not happen. */
const BASE_AGE_LIMIT_SECONDS = 30 * 3_600;
/** Complete segments that wait: more than this and the archive does not keep up. */
const BACKLOG_LIMIT = 8;

/** The archiver of the primary. */
export async function checkArchiver(
  deps: ActivityDeps,
  environment: string,
  primary: NodeConfig,
): Promise<EvidenceCheck[]> {
  const { walReceiver } = await deps.store(environment).catch(() => ({ walReceiver: undefined }));
  if (walReceiver !== undefined) return checkReceiver(deps, environment, primary, walReceiver);
  return attempt('archiver', 'archives', () =>
    connectNode(deps, environment, primary.name, {}, async (client) => {
      const settings = await readArchiveSettings(client);
      const problem = archivingProblem(settings);
      const store = await deps.store(environment);
      if (problem !== null && (await archivingProblemWith(store, settings)) === null) {
        // The store's own rows say whether its receiver works.
        return [row('archiving', 'wal reaches the store', 'by streaming into the store', true)];
      }
      const archiver = await readArchiver(client);
      const { rows } = await client.query<{ waiting: number }>(
        `select count(*)::int as waiting from pg_ls_archive_statusdir() where name like '%.ready'`,
      );
      const waiting = rows[0]?.waiting ?? -1;
      const last = archiver.lastArchived ?? 'nothing yet';
      const failing = `failing at ${archiver.lastFailed ?? 'an unknown file'} (${String(archiver.failedCount)} failures)`;
      return [
        row('archiving', 'on, with a command that keeps the file', problem ?? 'on', problem === null),
        row(
          'archiver',
          'last attempt succeeded',
          archiver.failing ? failing : `last: ${last}`,
          !archiver.failing && archiver.lastArchived !== null,
        ),
        row(
          'archive-backlog',
          `at most ${String(BACKLOG_LIMIT)} files wait`,
          String(waiting),
          waiting >= 0 && waiting <= BACKLOG_LIMIT,
        ),
      ];
    }),
  );
}

/** The store's own WAL receiver, as the primary sees it; what keeps its slot is among the slots of the node. */
async function checkReceiver(
  deps: ActivityDeps,
  environment: string,
  primary: NodeConfig,
  prefix: string,
): Promise<EvidenceCheck[]> {
  const expected = 'the receiver of the backup store is connected';
  return attempt('wal-receiver', expected, () =>
    connectNode(deps, environment, primary.name, {}, async (client) => {
      const { rows } = await client.query<{ name: string; state: string }>(
        `select application_name as name, state from pg_stat_replication where starts_with(application_name, $1)`,
        [prefix],
      );
      const seen = rows.map(({ name, state }) => `${name} is ${state}`).join(', ');
      return [row('wal-receiver', expected, seen === '' ? 'it is not connected' : seen, rows.length > 0)];
    }),
  );
}

/** What the store says of itself, and the window that it reaches. `now` is UTC in the normal form. */
export async function checkStore(deps: ActivityDeps, environment: string, now: string): Promise<EvidenceCheck[]> {
  const own = await attempt('store', 'reachable', async () => (await deps.store(environment)).check());
  const reach = await attempt('window', 'not empty', async () =>
    windowRows(await createReadWindow(deps)({ environment }), now),
  );
  const others = await Promise.all(
    storeNamesOf(environmentOf(deps.config, environment))
      .filter((name) => name !== MAIN_STORE)
      .map((name) => attempt(`store ${name}`, 'reachable', () => checkOther(deps, environment, name))),
  );
  return [...own, ...reach, ...others.flat()];
}

async function checkOther(deps: ActivityDeps, environment: string, name: string): Promise<EvidenceCheck[]> {
  const rows = await (await deps.store(environment, name)).check();
  return rows.map((one) => ({ ...one, check: `${name}: ${one.check}` }));
}

/** Rows about a window. Pure. */
export function windowRows(window: WindowResult, now: string): EvidenceCheck[] {
  const usable = window.bases.filter((base) => base.usable).sort((a, b) => compareTimestamps(a.endedAt, b.endedAt));
  const newest = usable.at(-1);
  const seconds = newest === undefined ? null : secondsBetween(newest.endedAt, now);
  const span = window.earliest === null || window.latest === null ? 'empty' : `${window.earliest} to ${window.latest}`;
  const baseAge = newest === undefined || seconds === null ? 'there is none' : `${newest.id}, ${age(seconds)} old`;
  const holes = window.holes.map((hole) => `${hole.from} to ${hole.to} (${hole.firstMissing})`);
  const unknown = window.lastCommitUnknown === true ? 'not known before a fetch' : 'none';
  const last = window.lastCommit === null ? unknown : window.lastCommit.time;
  return [
    row('window', 'not empty', span, window.earliest !== null && window.latest !== null),
    row(
      'base-age',
      `newest usable base below ${age(BASE_AGE_LIMIT_SECONDS)}`,
      baseAge,
      seconds !== null && seconds < BASE_AGE_LIMIT_SECONDS,
    ),
    row('wal-continuity', 'no hole', holes.length === 0 ? 'no hole' : holes.join('; '), holes.length === 0),
    row('last-archived-commit', 'there is one', last, window.lastCommit !== null || window.lastCommitUnknown === true),
  ];
}
