/**
 * Backups after a change of primary (invariant 11): resumed, a fresh full base on the new timeline, and a segment of that timeline proven to be
 * in the archive. Before this is done the run is not complete. Only adds to the store; on a retry the base that was taken is found.
 */
import type { NodeStepInput, RebaselineResult } from '../../../shared/contracts/promotion.js';
import { jobIdFor, shortRunId } from '../../../shared/ids.js';
import { parseLsn } from '../../../shared/lsn.js';
import { historyName } from '../../../shared/timeline.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { hasReceiver } from '../../lib/archive-duty.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { connectNode } from '../connection.js';
import { archivingProblemWith } from './production-settings.js';
import {
  ARCHIVE_STALL_MS,
  RECEIVER_STALL_MS,
  readArchiveSettings,
  switchAndArchive,
  waitUntilArchived,
  type EndOfHistory,
} from './archive-wait.js';
import { nodePlace } from './node-place.js';
import { readServerFacts } from './start-checks.js';
import { runTakeBase } from './take-base.js';

export function createRebaseline(deps: ActivityDeps) {
  return async function rebaseline(input: NodeStepInput): Promise<RebaselineResult> {
    nodePlace(deps, input);
    const startedAt = Date.now();
    const timeline = await requirePrimary(deps, input);
    const store = await deps.store(input.environment);
    await store.resume(input.run);
    // The archive first: it fails in seconds, a base takes hours and needs it. A receiver of the store begins a timeline with a base of it.
    const isDuty = !hasReceiver(store);
    if (isDuty) await proveArchive(deps, input, 'pgr before base', ARCHIVE_STALL_MS);
    const { environment, node } = input;
    const base = await runTakeBase(deps, { environment, node, kind: 'full' }, jobIdFor(input.runId, 're-baseline'));
    faultPoint('re-baseline:base-taken');
    const stopLsn = parseLsn(base.stopLsn);
    if (base.timeline !== timeline || stopLsn === null) {
      throw stepFailure(
        'EvidenceFailed',
        `base ${base.id} is of timeline ${String(base.timeline)}, production is on ${String(timeline)}`,
      );
    }
    const end = await proveArchive(deps, input, 'pgr after base', isDuty ? ARCHIVE_STALL_MS : RECEIVER_STALL_MS);
    return {
      baseId: base.id,
      timeline,
      stopLsn,
      bytes: base.bytes,
      archivedSegment: end.segment,
      seconds: (Date.now() - startedAt) / 1000,
    };
  };
}

/** Timeline of the running primary. Throws IdentityMismatch or PreconditionFailed when it is another server, or not a primary. */
async function requirePrimary(deps: ActivityDeps, input: NodeStepInput): Promise<number> {
  const facts = await connectNode(deps, input.environment, input.node, {}, readServerFacts);
  if (facts.systemIdentifier !== input.expect.systemIdentifier) {
    throw stepFailure('IdentityMismatch', `${input.node} has system identifier ${facts.systemIdentifier}`);
  }
  if (facts.inRecovery) throw stepFailure('PreconditionFailed', `${input.node} is in recovery, not a primary`);
  return facts.timeline;
}

/** One segment of the current timeline goes into the archive now. Throws ArchiveFailing. */
async function proveArchive(
  deps: ActivityDeps,
  input: NodeStepInput,
  name: string,
  stallMs: number,
): Promise<EndOfHistory> {
  const store = await deps.store(input.environment);
  return connectNode(deps, input.environment, input.node, {}, async (client) => {
    const problem = await archivingProblemWith(store, await readArchiveSettings(client));
    if (problem !== null) throw stepFailure('ArchiveFailing', `${input.node} does not archive: ${problem}`);
    const { rows } = await client.query<{ timeline: number }>(
      'select timeline_id as timeline from pg_control_checkpoint()',
    );
    const timeline = rows[0]?.timeline ?? 1;
    // A store that streams gets the history with the first WAL of the timeline; without it nothing before can be reached from there.
    if (timeline > 1 && !hasReceiver(store)) await waitUntilArchived(client, store, historyName(timeline));
    return switchAndArchive(client, store, `${name} ${shortRunId(input.runId)}`, stallMs);
  });
}
