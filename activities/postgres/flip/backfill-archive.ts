/**
 * After a flip, on the host of the new primary (invariant 11): every complete segment up to the fork is in the archive, those that the old primary did not
 * get there any more are handed to this server's own archiver, and the new timeline archives. Only adds to the archive; may be repeated.
 */
import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type pg from 'pg';

import type { NodeConfig } from '../../../config/schema.js';
import type { BackfillArchiveInput, BackfillArchiveResult } from '../../../shared/contracts/flip.js';
import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import { shortRunId } from '../../../shared/ids.js';
import { historyName, parseSegmentName, segmentName, segmentNumberOf } from '../../../shared/timeline.js';
import type { BackupStore } from '../../lib/backup-store.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, nodeNamed } from '../../lib/environment-config.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { connectNode } from '../connection.js';
import { giveTo, namesIn, ownerOf, pathExists, syncDirectory } from '../data-directory.js';
import { switchAndArchive, waitUntilArchived } from '../promotion/archive-wait.js';
import { requireThisHost } from '../promotion/node-place.js';

type Place = { client: pg.Client; store: BackupStore; node: NodeConfig; timeline: number; segmentBytes: number };

export function createBackfillArchive(deps: ActivityDeps) {
  return async function backfillArchive(input: BackfillArchiveInput): Promise<BackfillArchiveResult> {
    const node = nodeNamed(environmentOf(deps.config, input.environment), input.node);
    requireThisHost(node);
    const store = await deps.store(input.environment);
    return connectNode(deps, input.environment, input.node, {}, async (client) => {
      const place = { client, store, node, ...(await readPrimary(client, input)) };
      const wanted = await completeSegments(place, input);
      const missing = await missingOf(store, wanted);
      await handOver(place, missing);
      faultPoint('backfill-archive:handed-over');
      // Ends a segment of the new timeline, which also wakes the archiver.
      const end = await switchAndArchive(client, store, `pgr flip ${shortRunId(input.runId)}`);
      const firstOnNewTimeline = segmentName(
        place.timeline,
        segmentNumberOf(input.switchLsn, place.segmentBytes),
        place.segmentBytes,
      );
      for (const name of [...missing, historyName(place.timeline), firstOnNewTimeline])
        await waitUntilArchived(client, store, name);
      return {
        present: wanted.length - missing.length,
        pushed: missing,
        firstOnNewTimeline,
        checks: checksOf(wanted, missing, place.timeline, firstOnNewTimeline, end.segment),
      };
    });
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

async function missingOf(store: BackupStore, names: readonly string[]): Promise<string[]> {
  const missing: string[] = [];
  for (const name of names) if ((await store.walPresence(name)) === 'missing') missing.push(name);
  return missing;
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

function checksOf(wanted: string[], pushed: string[], timeline: number, first: string, last: string): EvidenceCheck[] {
  const range =
    wanted.length === 0
      ? 'no complete segment before the fork is left'
      : `${wanted[0] ?? ''} to ${wanted.at(-1) ?? ''}`;
  const words = pushed.length === 0 ? `${range} archived` : `${range} archived, of them ${String(pushed.length)} now`;
  return [
    { check: 'segments-before-fork', expected: 'all archived', actual: words, ok: true },
    { check: 'history-file', expected: 'archived', actual: `${historyName(timeline)} archived`, ok: true },
    { check: 'new-timeline', expected: 'archives', actual: `${first} to ${last} archived`, ok: true },
  ];
}
