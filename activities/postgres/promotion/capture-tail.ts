/**
 * Archives the end of the old history before it is given up, so that everything production wrote stays recoverable. Changes nothing but to add
 * WAL to the archive; may be repeated. A primary that is down is an outcome: what it could not archive any more stays in its kept data, and
 * complete segments are pushed by our own program.
 */
import { shortRunId } from '../../../shared/ids.js';
import { readdir } from 'node:fs/promises';
import path from 'node:path';

import type { CaptureTailResult, NodeStepInput } from '../../../shared/contracts/promotion.js';
import type { TransactionPoint } from '../../../shared/contracts/plan.js';
import { isHistoryName, isSegmentName } from '../../../shared/timeline.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { connectNode } from '../connection.js';
import { CLEAN_STATES } from '../control-data.js';
import { directoryState } from '../data-directory.js';
import { readPostmaster } from '../postmaster.js';
import { archivingProblem } from './production-settings.js';
import { serversArchive } from '../../lib/archive-duty.js';
import { readArchiveSettings, switchAndArchive, type EndOfHistory } from './archive-wait.js';
import { readLastCommitOf } from './last-commit.js';
import { nodePlace, requireCluster, type NodePlace } from './node-place.js';
import { pushWal } from './push-wal.js';

export function createCaptureTail(deps: ActivityDeps) {
  return async function captureTail(input: NodeStepInput): Promise<CaptureTailResult> {
    const place = nodePlace(deps, input);
    const startedAt = Date.now();
    if ((await directoryState(place.dataDir)) !== 'cluster') return nothingLeft(place);
    await requireCluster(place.node.binDir, place.dataDir, input.expect.systemIdentifier);
    const server = await readPostmaster(place.dataDir);
    if (server.state === 'unknown') {
      throw stepFailure('PreconditionFailed', `cannot tell whether ${input.node} runs: ${server.why}`);
    }
    if (server.state === 'stopped') return captureFromFiles(deps, input, place);
    const end = await endHistory(deps, input);
    return {
      outcome: 'captured',
      lastLsn: end.lastLsn,
      lastSegment: end.segment,
      lastCommit: await readLastCommit(deps, input, place, end.timeline),
      seconds: (Date.now() - startedAt) / 1000,
    };
  };
}

async function endHistory(deps: ActivityDeps, input: NodeStepInput): Promise<EndOfHistory> {
  const store = await deps.store(input.environment);
  return connectNode(deps, input.environment, input.node, {}, async (client) => {
    const { rows } = await client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
    if (rows[0]?.standby !== false) {
      throw stepFailure('PreconditionFailed', `${input.node} is a standby: the end of history is on its primary`);
    }
    const isDuty = await serversArchive(deps, input.environment);
    const problem = isDuty ? archivingProblem(await readArchiveSettings(client)) : null;
    if (problem !== null) throw stepFailure('ArchiveFailing', `${input.node} does not archive: ${problem}`);
    return switchAndArchive(client, store, `pgr end of history ${shortRunId(input.runId)}`);
  });
}

async function readLastCommit(
  deps: ActivityDeps,
  input: NodeStepInput,
  place: NodePlace,
  timeline: number,
): Promise<TransactionPoint | null> {
  const { binDir } = place.node;
  const facts = await requireCluster(binDir, place.dataDir, input.expect.systemIdentifier);
  return readLastCommitOf(deps, input.environment, binDir, timeline, facts.walSegmentBytes);
}

function nothingLeft(place: NodePlace): CaptureTailResult {
  const note = `there is no cluster in ${place.dataDir}: the archive holds all that is left of the old history`;
  return { outcome: 'primary-down', lastSegment: null, note };
}

/** The server is down: segments that it marked as ready are complete and go to the archive; a segment in the middle of being written stays. */
async function captureFromFiles(
  deps: ActivityDeps,
  input: NodeStepInput,
  place: NodePlace,
): Promise<CaptureTailResult> {
  const facts = await requireCluster(place.node.binDir, place.dataDir, input.expect.systemIdentifier);
  const walDir = path.join(place.dataDir, 'pg_wal');
  const ready = await readyFiles(walDir);
  const pushed = await pushWal(deps, input, place, ready);
  const segments = (await readdir(walDir)).filter(isSegmentName).sort();
  const clean = CLEAN_STATES.includes(facts.state);
  const notes = [
    `the server is down (cluster state "${facts.state}", timeline ${String(facts.timeline)})`,
    ready.length === 0 ? 'no complete segment waits for the archive' : pushed,
    clean ? 'it was shut down cleanly' : 'the segment that it was writing stays in the kept data',
  ];
  return { outcome: 'primary-down', lastSegment: lastWritten(segments, facts.redoSegment), note: notes.join('; ') };
}

/** Complete files that the server did not archive any more, oldest first, history files before all. */
export async function readyFiles(walDir: string): Promise<string[]> {
  const names = await readdir(path.join(walDir, 'archive_status'));
  const waiting = names.filter((name) => name.endsWith('.ready')).map((name) => name.slice(0, -'.ready'.length));
  return waiting.sort((a, b) => Number(isHistoryName(b)) - Number(isHistoryName(a)) || (a < b ? -1 : 1));
}

/** Segments above the redo segment exist in advance (recycled), so the redo segment is the last one that certainly was written. */
function lastWritten(segments: readonly string[], redoSegment: string): string | null {
  return segments.includes(redoSegment) ? redoSegment : (segments.at(-1) ?? null);
}
