/**
 * Moves production's writes. One activity, because a remote step costs more than the whole of this: everything is opened beforehand, then clients wait,
 * the old primary is fenced and stopped, the candidate is proven to have everything, promoted and given the writes.
 *
 * Killed anywhere, the next attempt reads what is true (situation.ts) and completes or undoes. Never two writable nodes: the candidate is promoted
 * only when the old primary cannot write any more, and the old primary is started again only when no promotion was ordered (flip-note.ts).
 * Clients are resumed on every way out; when this process dies, by the guard of the pooler.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

import type { FlipInput, FlipResult } from '../../../shared/contracts/flip.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { isConnectionTrouble } from '../../lib/database.js';
import { isFailureOf, stepFailure } from '../../lib/failure.js';
import { errorText } from './error-text.js';
import { faultPoint } from '../../lib/fault-points.js';
import { readReady } from './flip-ready.js';
import * as acts from './flip-acts.js';
import { flipContext, type Flip } from './flip-context.js';
import { newNote, readNote, type FlipNote } from './flip-note.js';
import {
  closeNodes,
  closeRoutes,
  openNodes,
  openRoutes,
  requireLock,
  type OpenNode,
  type OpenNodes,
  type OpenRoutes,
  type RoutesNeeded,
} from './flip-sessions.js';
import { finishFlip } from './finish-flip.js';
import { resumeAll } from './quiesce.js';
import { decide, readSituation, type Decision } from './situation.js';
import { undoFlip } from './undo-flip.js';

export function createFlipWrites(deps: ActivityDeps) {
  // Taken here, outside of any activity: in this context nothing inside listens to a cancellation, which would tear a flip in two.
  const undisturbed = AsyncLocalStorage.snapshot();
  return async function flipWrites(input: FlipInput): Promise<FlipResult> {
    const flip = flipContext(deps, input);
    if (input.plan.failover && input.fenceProof.length === 0) {
      throw stepFailure('FenceFailed', `nothing proves that ${flip.from.name} takes no writes`, {
        hint: 'fence it first; `pgr show` says how',
      });
    }
    const nodes = await openNodes(flip);
    try {
      return await undisturbed(() => flipWith(flip, nodes));
    } catch (cause) {
      if (!isConnectionTrouble(cause)) throw cause;
      throw stepFailure('DatabaseUnavailable', `a server went away in the middle of the flip: ${errorText(cause)}`, {
        hint: 'see `pgr topology`; then `pgr retry`',
        cause,
      });
    } finally {
      await closeNodes(nodes);
    }
  };
}

async function flipWith(flip: Flip, nodes: OpenNodes): Promise<FlipResult> {
  const note = await readNote(flip);
  const decision = decide(await readSituation(flip, nodes), note, flip.plan);
  switch (decision.act) {
    case 'refuse':
      throw stepFailure(decision.type, decision.why, { hint: decision.hint });
    case 'undo':
      throw await undoFlip(flip, nodes.to, null, note ?? newNote(flip), decision.why);
    case 'run':
    case 'prove':
    case 'promote':
    case 'complete':
      return goOn(flip, nodes, note ?? newNote(flip), decision.act);
  }
}

type Progress = { note: FlipNote };

/** A router that does not answer holds up a promotion only while the old primary could still write. */
async function fence(flip: Flip, routes: OpenRoutes, from: 'run' | 'prove' | 'promote'): Promise<void> {
  try {
    await acts.fence(flip, routes);
  } catch (error) {
    if (from !== 'promote' || !isFailureOf(error, 'RoutingUnavailable')) throw error;
    flip.notes.push(error.message);
  }
}

async function goOn(
  flip: Flip,
  nodes: OpenNodes,
  note: FlipNote,
  from: Exclude<Decision['act'], 'undo' | 'refuse'>,
): Promise<FlipResult> {
  const to = nodes.to;
  if (to === null) throw stepFailure('Bug', 'a flip goes on without its candidate');
  if (from === 'run') await readReady(flip, nodes);
  const routes = await openRoutes(flip, routesNeeded(flip, from));
  const progress: Progress = { note };
  let resumed = false;
  try {
    if (from !== 'complete') await move(flip, { from: nodes.from, to }, routes, progress, from);
    await acts.requireNoSecondPrimary(flip, nodes.from);
    await acts.route(flip, routes);
    const failed = await resumeAll(routes.poolers);
    resumed = failed.length === 0;
    flip.phases.mark('resumed');
    const resumedAtMs = Date.now();
    faultPoint('flip:resumed');
    if (!resumed) flip.notes.push(`not resumed by this step: ${failed.join('; ')}`);
    return await finishFlip(flip, to, routes, progress.note, resumedAtMs);
  } finally {
    if (!resumed) await resumeAll(routes.poolers);
    await closeRoutes(routes);
  }
}

/** Nothing is begun without every router; once the old primary cannot write, a dead one must not keep the others from the new primary. */
function routesNeeded(flip: Flip, from: Decision['act']): RoutesNeeded {
  if (from === 'run') return 'all';
  return flip.plan.failover && from === 'promote' ? 'one' : 'any';
}

/** Up to the promotion. A failure before it was ordered is undone and ends as FlipUndone. */
async function move(
  flip: Flip,
  nodes: { from: OpenNode | null; to: OpenNode },
  routes: OpenRoutes,
  progress: Progress,
  from: 'run' | 'prove' | 'promote',
): Promise<void> {
  try {
    progress.note = await acts.prepare(flip, nodes.to, progress.note, from === 'run' ? nodes.from : null);
    if (from === 'run') progress.note = await acts.quiesce(flip, routes, progress.note);
    await fence(flip, routes, from);
    if (from !== 'promote') progress.note = await acts.stopAndProve(flip, nodes.to, nodes.from, progress.note);
    await acts.requireNoSecondPrimary(flip, flip.plan.failover ? nodes.from : null);
    // The last look before the point of no return: a candidate that died by now means undo, and an attempt that was frozen and overtaken
    // by another one must not write over what that one did.
    await requireLock(nodes.to.client, flip.to.name);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    if (flip.plan.failover || progress.note.state !== 'begun') throw cause;
    throw await undoFlip(flip, nodes.to, routes, progress.note, why);
  }
  progress.note = await acts.promoteCandidate(flip, nodes.to, {
    ...progress.note,
    waitingSinceMs: progress.note.waitingSinceMs ?? Date.now(),
  });
}
