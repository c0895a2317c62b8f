/**
 * The old primary follows the new one, on its own host. After a clean flip it is only started again; data with something behind the fork are rewound,
 * when nothing can be lost by it; else the answer is `needs-rebuild` and nothing was touched. Needs: the new primary accepts writes on the timeline
 * of the flip. Killed anywhere, the next attempt goes on from what it finds. The fence is taken away last.
 */
import type { RejoinInput, RejoinResult } from '../../../shared/contracts/flip.js';
import { shortRunId } from '../../../shared/ids.js';
import { lsnDistanceBytes, parseLsn } from '../../../shared/lsn.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { removeFence } from '../../lib/fence-file.js';
import { pollUntil } from '../../lib/poll.js';
import { connectNode } from '../connection.js';
import { nodePlace, requireCluster, type NodePlace } from '../promotion/node-place.js';
import { slotNameFor } from '../standby/standby-settings.js';
import { readPrimaryPosition, readStreaming } from '../standby/streaming.js';
import { dropIdleSlot, makeSlot, writeFollowing } from './follow.js';
import { readDivergence, type Divergence } from './divergence.js';
import { rewindInPlace } from './rewind-in-place.js';
import { forgetRewind, ownSettingsDir, rewindStage } from './settings-dir.js';

/** The archiver of a server that stops may have a backlog. */
const STOP_TIMEOUT_MS = 300_000;
const STREAMING_TIMEOUT_MS = 120_000;
const NEAR_BYTES = 16 * 1024 * 1024;
const ROUTER_TIMEOUT_MS = 5_000;

export function createRejoinOldPrimary(deps: ActivityDeps) {
  return async function rejoinOldPrimary(input: RejoinInput): Promise<RejoinResult> {
    const { environment, node, run, runId, expect } = input;
    const place = nodePlace(deps, { environment, node, run, runId, expect });
    const startedAt = Date.now();
    await requireNewPrimary(deps, input);
    const seconds = (): number => (Date.now() - startedAt) / 1_000;
    if (await isStreaming(deps, input)) {
      await settle(deps, input, place);
      // What was lost was said by the attempt that brought it back; it is not there to be read any more.
      return {
        outcome: 'already-streaming',
        method: 'restart',
        timeline: input.timeline,
        seconds: seconds(),
        lost: { commits: [], exact: false },
      };
    }
    const divergence = await stopAndCompare(deps, input, place);
    if (divergence.kind === 'rebuild') return { outcome: 'needs-rebuild', why: divergence.why, lost: divergence.lost };
    const slot = await slotNameFor(place.node, await ownSettingsDir(place.dataDir, shortRunId(runId)));
    await connectNode(deps, environment, input.to, {}, (client) => makeSlot(client, slot));
    if (divergence.kind === 'rewind' && !divergence.isRewound) {
      const refusal = await rewindInPlace(deps, input, place);
      if (refusal !== null) return { outcome: 'needs-rebuild', why: refusal, lost: divergence.lost };
    }
    await writeFollowing(deps, environment, place.node, input.to, slot);
    faultPoint('rejoin-old-primary:configured');
    await deps.runtime(environment, node).start();
    faultPoint('rejoin-old-primary:started');
    await waitForStreaming(deps, input);
    await settle(deps, input, place);
    return {
      outcome: 'rejoined',
      method: divergence.kind === 'rewind' ? 'rewind' : 'restart',
      timeline: input.timeline,
      seconds: seconds(),
      lost: divergence.lost,
    };
  };
}

/** Throws IdentityMismatch or PreconditionFailed; the old primary is left alone. */
async function requireNewPrimary(deps: ActivityDeps, input: RejoinInput): Promise<void> {
  const primary = await readPrimaryPosition(deps, input.environment, input.to);
  if (primary.systemIdentifier !== input.expect.systemIdentifier) {
    throw stepFailure('IdentityMismatch', `${input.to} has system identifier ${primary.systemIdentifier}`);
  }
  if (!primary.inRecovery && primary.timeline === input.timeline) return;
  const what = primary.inRecovery ? 'is in recovery' : `writes timeline ${String(primary.timeline)}`;
  throw stepFailure(
    'PreconditionFailed',
    `${input.to} ${what}, expected the primary on timeline ${String(input.timeline)}`,
  );
}

async function isStreaming(deps: ActivityDeps, input: RejoinInput): Promise<boolean> {
  const seen = await readStreaming(deps, input.environment, input.node);
  if (seen?.receiver !== 'streaming' || seen.receivedTimeline !== input.timeline) return false;
  const { lsn } = await readPrimaryPosition(deps, input.environment, input.to);
  const [written, replayed] = [parseLsn(lsn ?? ''), parseLsn(seen.replayLsn ?? '')];
  return written !== null && replayed !== null && lsnDistanceBytes(replayed, written) < NEAR_BYTES;
}

/** Whatever it runs as is ended first: it may be a primary that came back with its host. */
async function stopAndCompare(
  deps: ActivityDeps,
  input: RejoinInput,
  place: NodePlace,
): Promise<Divergence & { isRewound?: boolean }> {
  await requireCluster(place.node.binDir, place.dataDir, input.expect.systemIdentifier);
  await deps.runtime(input.environment, input.node).stop(STOP_TIMEOUT_MS);
  faultPoint('rejoin-old-primary:stopped');
  const stage = await rewindStage(place.dataDir, shortRunId(input.runId));
  // An earlier attempt found nothing to lose and began; what stands there now says nothing any more.
  if (stage !== 'none') return { kind: 'rewind', lost: { commits: [], exact: true }, isRewound: stage === 'done' };
  return connectNode(deps, input.environment, input.to, {}, (client) => readDivergence(input, place, client));
}

async function waitForStreaming(deps: ActivityDeps, input: RejoinInput): Promise<void> {
  const streams = await pollUntil(async () => ((await isStreaming(deps, input)) ? true : null), {
    timeoutMs: STREAMING_TIMEOUT_MS,
    everyMs: 50,
  });
  if (streams !== null) return;
  throw stepFailure(
    'DatabaseUnavailable',
    `${input.node} runs but does not stream timeline ${String(input.timeline)} from ${input.to}`,
    {
      hint: `read its server log (primary_conninfo, pg_hba.conf of ${input.to}), then \`pgr retry\`, or \`pgr rebuild-standby\``,
    },
  );
}

/** It is a standby now: the slot of the new primary on it has no use any more, and health checks may decide about it again. */
async function settle(deps: ActivityDeps, input: RejoinInput, { dataDir }: NodePlace): Promise<void> {
  const { environment, node, to } = input;
  await forgetRewind(dataDir, shortRunId(input.runId));
  const slot = await connectNode(deps, environment, to, {}, async (client) => {
    const { rows } = await client.query<{ slot: string }>("select current_setting('primary_slot_name') as slot");
    return rows[0]?.slot ?? '';
  });
  if (slot !== '') await connectNode(deps, environment, node, {}, (client) => dropIdleSlot(client, slot));
  await removeFence(deps.config.stateDir, environment, node);
  const session = await deps.routing(environment).open(ROUTER_TIMEOUT_MS);
  try {
    await session.release(node);
  } finally {
    await session.close();
  }
}
