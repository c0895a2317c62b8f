/**
 * Rebuilds a standby from a new primary. Its old data are moved aside (never deleted), the copy is made in a place of its own and moved
 * into theirs when it is complete. Needs: the primary answers and is of the same cluster; the standby is stopped or in recovery. Killed anywhere,
 * the next attempt goes on from what is on disk; the copy itself is a job and goes on by itself.
 */
import path from 'node:path';

import type { RebuildStandbyInput, RebuildStandbyResult } from '../../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { directoryState, ownerOf, type Owner } from '../data-directory.js';
import { createKeepOldData } from '../promotion/keep-old-data.js';
import { nodePlace, replacementOf, requireCluster, requireStopped, type NodePlace } from '../promotion/node-place.js';
import { cloneStandby } from './clone-standby.js';
import { makeSlot } from './slot.js';
import { settleStandby, slotNameFor } from './standby-settings.js';
import { readPrimaryPosition, readStreaming, type PrimaryPosition } from './streaming.js';
import { streamingLag, waitForStreaming } from './wait-for-streaming.js';

const STOP_TIMEOUT_MS = 300_000;
export function createRebuildStandby(deps: ActivityDeps) {
  return async function rebuildStandby(input: RebuildStandbyInput): Promise<RebuildStandbyResult> {
    const place = nodePlace(deps, input);
    const startedAt = Date.now();
    const primary = await requirePrimary(deps, input);
    const systemIdentifier = replacementOf(input.expect);
    const follower = { ...input, systemIdentifier, timeline: primary.timeline };
    const already = await streamingLag(deps, follower);
    const done = already !== null;
    if (!done) await rebuild(deps, input, place);
    const lagBytes = already ?? (await waitForStreaming(deps, follower));
    const kept = await directoryState(place.keptDataDir);
    return {
      outcome: done ? 'already-streaming' : 'rebuilt',
      keptDataDir: kept === 'cluster' ? place.keptDataDir : null,
      timeline: primary.timeline,
      lagBytes,
      seconds: (Date.now() - startedAt) / 1000,
    };
  };
}

async function requirePrimary(deps: ActivityDeps, input: RebuildStandbyInput): Promise<PrimaryPosition> {
  const primary = await readPrimaryPosition(deps, input.environment, input.from);
  if (primary.systemIdentifier !== replacementOf(input.expect)) {
    throw stepFailure('IdentityMismatch', `${input.from} has system identifier ${primary.systemIdentifier}`);
  }
  if (!primary.inRecovery) return primary;
  throw stepFailure('PreconditionFailed', `${input.from} is in recovery: a standby is rebuilt from its primary`);
}

async function rebuild(deps: ActivityDeps, input: RebuildStandbyInput, place: NodePlace): Promise<void> {
  await deps.snapshot(input.environment, input.node).settleMoves();
  if (!(await isRebuilt(place))) {
    await stopStandby(deps, input);
    await createKeepOldData(deps)(input);
    faultPoint('rebuild-standby:kept');
    const kept = (await directoryState(place.keptDataDir)) === 'cluster' ? place.keptDataDir : null;
    const owner = await ownerOf(kept ?? path.dirname(place.dataDir));
    await replace(deps, input, place, kept, owner);
  }
  await deps.runtime(input.environment, input.node).start();
  faultPoint('rebuild-standby:started');
}

/** The old data are aside and a cluster stands in their place: an earlier attempt came as far as the last rename. */
async function isRebuilt(place: NodePlace): Promise<boolean> {
  const [kept, present] = await Promise.all([directoryState(place.keptDataDir), directoryState(place.dataDir)]);
  return kept === 'cluster' && present === 'cluster';
}

/** A server that accepts writes is not a standby, whatever the plan says: it is not stopped. */
async function stopStandby(deps: ActivityDeps, input: RebuildStandbyInput): Promise<void> {
  const runtime = deps.runtime(input.environment, input.node);
  if ((await runtime.status()).state === 'stopped') return;
  const seen = await readStreaming(deps, input.environment, input.node);
  if (seen?.inRecovery === false) {
    throw stepFailure('IdentityMismatch', `${input.node} accepts writes: it is not a standby, and it was not touched`, {
      hint: 'find out what it is (`pgr check`); stop it by hand if it must be replaced, then `pgr retry`',
    });
  }
  await runtime.stop(STOP_TIMEOUT_MS);
}

async function replace(
  deps: ActivityDeps,
  input: RebuildStandbyInput,
  place: NodePlace,
  kept: string | null,
  owner: Owner,
): Promise<void> {
  const slot = await slotNameFor(place.node, kept);
  await makeSlot(deps, input.environment, input.from, slot);
  const mover = deps.snapshot(input.environment, input.node);
  await mover.makeRoom(place.cloneDir, owner);
  await cloneStandby(deps, input, place, slot, owner);
  faultPoint('rebuild-standby:cloned');
  const { servers } = deps.runtime(input.environment, input.node);
  await settleStandby(servers, place.node, place.cloneDir, kept, owner);
  await requireStopped(place.cloneDir);
  await mover.move(place.cloneDir, place.dataDir);
  faultPoint('rebuild-standby:renamed');
  await requireCluster(place.node.binDir, place.dataDir, replacementOf(input.expect));
}
