/**
 * Ends the recovery of the cluster that was swapped in: a private server replays to the planned stop, promotes itself onto a new timeline,
 * archives its history file and shuts down cleanly. Everything of it is on the command line. Each phase is found again after a kill: not
 * promoted yet, promoted and running, promoted and not archived, done.
 */
import path from 'node:path';

import type { EndRecoveryInput, EndRecoveryResult } from '../../../shared/contracts/promotion.js';
import { parseLsn, type Lsn } from '../../../shared/lsn.js';
import { historyName, parseHistory } from '../../../shared/timeline.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import type { PrivateServers } from '../../lib/runtime.js';
import { ownerOf, pathExists, readTextIfThere, type Owner } from '../data-directory.js';
import { readMarker } from '../sandbox/marker.js';
import { placeOf } from '../sandbox/place.js';
import { serversArchive } from '../../lib/archive-duty.js';
import { archivePromotion } from './archive-promotion.js';
import { nodePlace, requireCluster, requireStopped, type NodePlace } from './node-place.js';
import { cleanUpPrivately, privateServerOf, runPrivately, serversOf, stopPrivately } from './private-server.js';
import { requireArchiving, requireNoTarget } from './production-settings.js';
import { signalRecovery } from './recovery-signal.js';

export function createEndRecovery(deps: ActivityDeps) {
  return async function endRecovery(input: EndRecoveryInput): Promise<EndRecoveryResult> {
    const place = nodePlace(deps, input);
    const wasPromoted = await isPromoted(input, place);
    if (!wasPromoted || !(await isFinished(deps, input, place))) await finish(deps, input, place, wasPromoted);
    await cleanUpPrivately(serversOf(deps, input), place, input.runId);
    const historyArchived = await serversArchive(deps, input.environment);
    return { ...(await resultOf(input, place, wasPromoted ? 'already-promoted' : 'promoted')), historyArchived };
  };
}

async function finish(
  deps: ActivityDeps,
  input: EndRecoveryInput,
  place: NodePlace,
  wasPromoted: boolean,
): Promise<void> {
  const owner = await ownerOf(place.dataDir);
  const servers = serversOf(deps, input);
  await requireNoTarget(servers, place.dataDir, owner);
  if (await serversArchive(deps, input.environment)) await requireArchiving(servers, place.dataDir, owner);
  if (!wasPromoted) await returnToRecovery(servers, input, place, owner);
  const server = await runPrivately(deps, input, place, owner);
  faultPoint('end-recovery:promoted');
  await requireExpectedSwitch(deps, input, place);
  await archivePromotion(deps, input, place, server);
  faultPoint('end-recovery:archived');
  await stopPrivately(servers, place, input.runId);
  faultPoint('end-recovery:stopped');
}

/**
 * PostgreSQL removes recovery.signal shortly before it completes a promotion. Killed in between, the next start would be a plain crash
 * recovery: through all WAL of the old timeline, past the target. So while pg_control does not know the new timeline, it is put back.
 */
async function returnToRecovery(
  servers: PrivateServers,
  input: EndRecoveryInput,
  place: NodePlace,
  owner: Owner,
): Promise<void> {
  if ((await privateServerOf(servers, place, input.runId)) !== null) return;
  await requireStopped(place.dataDir);
  await signalRecovery(place.dataDir, owner);
}

async function isPromoted(input: EndRecoveryInput, place: NodePlace): Promise<boolean> {
  const facts = await requireCluster(place.node.binDir, place.dataDir, input.expect.systemIdentifier);
  return facts.timeline > input.plan.timeline && !(await isUnderRecovery(place));
}

async function isUnderRecovery(place: NodePlace): Promise<boolean> {
  return pathExists(path.join(place.dataDir, 'recovery.signal'));
}

/** Nothing is left to do: shut down cleanly (or started as production already) on the new timeline, and the history file is archived. */
async function isFinished(deps: ActivityDeps, input: EndRecoveryInput, place: NodePlace): Promise<boolean> {
  if ((await privateServerOf(serversOf(deps, input), place, input.runId)) !== null) return false;
  const facts = await requireCluster(place.node.binDir, place.dataDir, input.expect.systemIdentifier);
  const status = await deps.runtime(input.environment, input.node).status();
  if (facts.state !== 'shut down' && status.state !== 'running') return false;
  // A receiver that is paused cannot have it; re-baseline proves the new timeline there.
  const store = await deps.store(input.environment);
  return store.walReceiver !== undefined || (await store.walPresence(historyName(facts.timeline))) === 'found';
}

/** Proof of the end state: new timeline, its history says where it began, no signal file, clean shutdown (or running as production). */
async function resultOf(
  input: EndRecoveryInput,
  place: NodePlace,
  outcome: EndRecoveryResult['outcome'],
): Promise<Omit<EndRecoveryResult, 'historyArchived'>> {
  const facts = await requireCluster(place.node.binDir, place.dataDir, input.expect.systemIdentifier);
  if ((await isUnderRecovery(place)) || facts.timeline <= input.plan.timeline) {
    throw stepFailure('RecoveryStopped', `${place.dataDir} is still in recovery on timeline ${String(facts.timeline)}`);
  }
  const switchLsn = await readSwitch(place, facts.timeline, input.plan.timeline);
  return { outcome, timeline: facts.timeline, switchLsn };
}

/** Where the new timeline left its parent (last line of its history file). Throws RecoveryStopped when the parent is not the planned one. */
async function readSwitch(place: NodePlace, timeline: number, parent: number): Promise<Lsn> {
  const text = await readTextIfThere(path.join(place.dataDir, 'pg_wal', historyName(timeline)));
  const last = parseHistory(text ?? '')?.at(-1);
  if (last?.timeline === parent) return last.switchLsn;
  const found = last === undefined ? 'nothing' : `timeline ${String(last.timeline)}`;
  throw stepFailure(
    'RecoveryStopped',
    `timeline ${String(timeline)} comes from ${found}, the plan says ${String(parent)}`,
  );
}

/** The new timeline begins where the sandbox stood when its evidence was approved. */
async function requireExpectedSwitch(deps: ActivityDeps, input: EndRecoveryInput, place: NodePlace): Promise<void> {
  const marker = await readMarker(placeOf(deps.config, input.ref));
  const expected = parseLsn(marker?.promotion?.replayLsn ?? '');
  if (expected === null) return;
  const facts = await requireCluster(place.node.binDir, place.dataDir, input.expect.systemIdentifier);
  const actual = await readSwitch(place, facts.timeline, input.plan.timeline);
  if (actual === expected) return;
  throw stepFailure(
    'RecoveryStopped',
    `the new timeline begins at ${actual}, the sandbox was approved at ${expected}`,
    { hint: 'do not start it; `pgr abort` brings the old cluster back' },
  );
}
