/**
 * After a flip, on the host of the new primary (invariant 11): every complete segment up to the fork is in the archive, those that the old primary did not
 * get there any more are handed to this server's own archiver, and the new timeline archives. Where the store streams WAL, its receiver is brought to the new
 * primary instead and waited for. Only adds to the archive; may be repeated.
 */
import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type pg from 'pg';

import type { NodeConfig } from '../../../config/schema.js';
import type { BackfillArchiveInput, BackfillArchiveResult } from '../../../shared/contracts/flip.js';
import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import { shortRunId } from '../../../shared/ids.js';
import { historyName, parseSegmentName, segmentName, segmentNumberOf } from '../../../shared/timeline.js';
import { walDutyOf, type WalDuty } from '../../lib/archive-duty.js';
import type { BackupStore } from '../../lib/backup-store.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, nodeNamed } from '../../lib/environment-config.js';
import { isFailureOf, stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { connectNode } from '../connection.js';
import { giveTo, namesIn, ownerOf, pathExists, syncDirectory } from '../data-directory.js';
import {
  ARCHIVE_STALL_MS,
  readArchiveSettings,
  RECEIVER_STALL_MS,
  switchAndArchive,
  waitUntilArchived,
} from '../promotion/archive-wait.js';
import { requireThisHost } from '../promotion/node-place.js';
import { archivingProblem } from '../promotion/production-settings.js';

type Place = { client: pg.Client; store: BackupStore; node: NodeConfig; timeline: number; segmentBytes: number };

/** @param patience ms in which a receiver of the store may come */
export function createBackfillArchive(deps: ActivityDeps, patience: number = RECEIVER_STALL_MS) {
  return async function backfillArchive(input: BackfillArchiveInput): Promise<BackfillArchiveResult> {
    const node = nodeNamed(environmentOf(deps.config, input.environment), input.node);
    requireThisHost(node);
    const store = await deps.store(input.environment);
    return connectNode(deps, input.environment, input.node, {}, async (client) => {
      const place = { client, store, node, ...(await readPrimary(client, input)) };
      const wanted = await completeSegments(place, input);
      const missing = await missingOf(store, wanted);
      const duty = await walDutyOf(store);
      const isStreamed = duty === 'store' || (duty === 'either' && (await archivesNothing(client)));
      return isStreamed
        ? follow(place, input, { wanted, missing: behindFirstHeld(wanted, missing), duty, patience })
        : push(place, input, { wanted, missing });
    });
  };
}

type Segments = { wanted: readonly string[]; missing: readonly string[] };

/** The server archives: it is told what is missing. */
async function push(place: Place, input: BackfillArchiveInput, segments: Segments): Promise<BackfillArchiveResult> {
  await handOver(place, segments.missing);
  faultPoint('backfill-archive:handed-over');
  return prove(place, input, segments, { history: true, stallMs: ARCHIVE_STALL_MS });
}

/** The store streams: where it can be told to come it is, with the segment in which the histories part it goes on where it was. */
async function follow(
  place: Place,
  input: BackfillArchiveInput,
  { duty, patience, ...segments }: Segments & { duty: WalDuty; patience: number },
): Promise<BackfillArchiveResult> {
  const said = duty === 'either' ? (await place.store.resume(input.run)).note : null;
  try {
    // A receiver of the store takes the history along in its own way.
    return await prove(place, input, segments, { history: duty === 'either', stallMs: patience });
  } catch (error) {
    if (!isFailureOf(error, 'ArchiveFailing')) throw error;
    const why = `the receiver of the backup store does not follow ${input.node}${said === null ? '' : ` (${said})`}`;
    throw stepFailure('ArchiveFailing', why, {
      hint: 'writes work, but are in no backup: let it connect through the write address, or take a new base (`pgr take-base`), then `pgr retry`',
      cause: error,
    });
  }
}

/** Returns once everything is in the archive. */
async function prove(
  { client, store, timeline, segmentBytes }: Place,
  input: BackfillArchiveInput,
  { wanted, missing }: Segments,
  { history, stallMs }: { history: boolean; stallMs: number },
): Promise<BackfillArchiveResult> {
  // Ends a segment of the new timeline, which also wakes the archiver.
  const end = await switchAndArchive(client, store, `pgr flip ${shortRunId(input.runId)}`, stallMs);
  const first = segmentName(timeline, segmentNumberOf(input.switchLsn, segmentBytes), segmentBytes);
  for (const name of [...missing, ...(history ? [historyName(timeline)] : []), first]) {
    await waitUntilArchived(client, store, name, stallMs);
  }
  return {
    present: wanted.length - missing.length,
    pushed: [...missing],
    firstOnNewTimeline: first,
    checks: checksOf({ wanted, missing }, { timeline, history, first, last: end.segment }),
  };
}

async function readPrimary(
  client: pg.Client,
  input: BackfillArchiveInput,
): Promise<{ timeline: number; segmentBytes: number }> {
  const { rows } = await client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
  if (rows[0]?.standby !== false)
    throw stepFailure('PreconditionFailed', `${input.node} is in recovery, not the new primary`);
  const facts = await client.query<{ timeline: number; segmentBytes: number }>(
    `select ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int as timeline,
            (select setting::int from pg_settings where name = 'wal_segment_size') as "segmentBytes"`,
  );
  const row = facts.rows[0];
  if (row !== undefined && row.timeline > input.fromTimeline) return row;
  throw stepFailure(
    'EvidenceFailed',
    `${input.node} writes timeline ${String(row?.timeline)}, expected one above ${String(input.fromTimeline)}`,
  );
}

/** Segments of the old timeline that end before the fork and are still here; the one with the fork in it is archived as part of the new timeline. */
async function completeSegments({ node, segmentBytes }: Place, input: BackfillArchiveInput): Promise<string[]> {
  const fork = segmentNumberOf(input.switchLsn, segmentBytes);
  const names = (await namesIn(path.join(node.dataDir, 'pg_wal'))) ?? [];
  return names
    .filter((name) => {
      const segment = parseSegmentName(name, segmentBytes);
      return segment !== null && segment.timeline === input.fromTimeline && segment.number < fork;
    })
    .sort();
}

async function archivesNothing(client: pg.Client): Promise<boolean> {
  return archivingProblem(await readArchiveSettings(client)) !== null;
}

async function missingOf(store: BackupStore, names: readonly string[]): Promise<string[]> {
  const missing: string[] = [];
  for (const name of names) if ((await store.walPresence(name)) === 'missing') missing.push(name);
  return missing;
}

/** What a receiver is missing: segments from before it was set up are still here, too, and will never come. */
function behindFirstHeld(names: readonly string[], missing: readonly string[]): string[] {
  const first = names.find((name) => !missing.includes(name)) ?? names.at(-1) ?? '';
  return missing.filter((name) => name >= first);
}

/** A standby marks what it receives as archived, because its primary does that; the mark is taken back (src/backend/access/transam/xlogarchive.c). */
async function handOver({ node }: Place, names: readonly string[]): Promise<void> {
  const dir = path.join(node.dataDir, 'pg_wal', 'archive_status');
  const owner = await ownerOf(node.dataDir);
  for (const name of names) {
    const [done, ready] = [path.join(dir, `${name}.done`), path.join(dir, `${name}.ready`)];
    if (await pathExists(ready)) continue;
    if (await pathExists(done)) await rename(done, ready);
    else {
      await writeFile(ready, '', { mode: 0o600 });
      await giveTo(ready, owner);
    }
  }
  if (names.length > 0) await syncDirectory(dir);
}

function checksOf(
  { wanted, missing }: Segments,
  { timeline, history, first, last }: { timeline: number; history: boolean; first: string; last: string },
): EvidenceCheck[] {
  const range =
    wanted.length === 0
      ? 'no complete segment before the fork is left'
      : `${wanted[0] ?? ''} to ${wanted.at(-1) ?? ''}`;
  const words = missing.length === 0 ? `${range} archived` : `${range} archived, of them ${String(missing.length)} now`;
  const file = { check: 'history-file', expected: 'archived', actual: `${historyName(timeline)} archived`, ok: true };
  return [
    { check: 'segments-before-fork', expected: 'all archived', actual: words, ok: true },
    ...(history ? [file] : []),
    { check: 'new-timeline', expected: 'archives', actual: `${first} to ${last} archived`, ok: true },
  ];
}
