/**
 * Everything back as it was: the old primary takes writes again and clients reach it. Only before the promotion was ordered. Each part may be repeated;
 * what is as it should be is left alone.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';

import { faultPoint } from '../../lib/fault-points.js';
import { removeFence } from '../../lib/fence-file.js';
import { stepFailure } from '../../lib/failure.js';
import { connectNode } from '../connection.js';
import { restoreSettings } from './candidate.js';
import { errorText } from './error-text.js';
import { dropIdleSlot } from './follow.js';
import type { Flip } from './flip-context.js';
import { removeNote, type FlipNote } from './flip-note.js';
import { closeRoutes, openRoutes, type OpenNode, type OpenRoutes } from './flip-sessions.js';
import { startAgain } from './old-primary.js';
import { resumeAll } from './quiesce.js';

const PATIENCE_MS = 1_000;

/**
 * Returns FlipUndone, for the caller to throw, once the old primary was seen to accept writes. Throws what keeps it from that; clients are resumed either
 * way by the caller.
 */
export async function undoFlip(
  flip: Flip,
  to: OpenNode | null,
  routes: OpenRoutes | null,
  note: FlipNote,
  why: string,
): Promise<Error> {
  if (note.state !== 'begun') throw stepFailure('Bug', 'a flip was to be undone behind its point of no return');
  await Promise.all([requireNotPromoted(flip, to), requireNoOtherPrimary(flip)]);
  await startAgain(flip);
  faultPoint('undo-flip:started');
  await removeFence(flip.deps.config.stateDir, flip.input.environment, flip.from.name);
  await requireWritable(flip);
  faultPoint('undo-flip:unfenced');
  const notRouted = await routeBack(flip, routes).then(
    () => null,
    (error: unknown) => ({ error }),
  );
  faultPoint('undo-flip:routed');
  // Also when a router is dead: a slot that nobody reads would fill the candidate's disk for as long as that lasts.
  if (to !== null) await restoreCandidate(flip, to, note);
  faultPoint('undo-flip:restored');
  if (notRouted !== null) throw notRouted.error;
  await removeNote(flip);
  flip.phases.mark('undone');
  const rest = flip.notes.length === 0 ? '' : `; ${flip.notes.join('; ')}`;
  return stepFailure('FlipUndone', `${flip.from.name} takes writes again: ${why}${rest}`);
}

/** A candidate that died keeps the settings of a flip, which harm nothing (and a slot, which topology shows). */
async function restoreCandidate(flip: Flip, to: OpenNode, note: FlipNote): Promise<void> {
  try {
    await restoreSettings(to.client, note.former);
    if (note.madeSlot !== null) await dropIdleSlot(to.client, note.madeSlot);
  } catch (error) {
    flip.deps.log.warn({ node: flip.to.name, why: errorText(error) }, 'settings of a flip are left on the candidate');
  }
}

/** Somebody else may have promoted it meanwhile. */
async function requireNotPromoted(flip: Flip, to: OpenNode | null): Promise<void> {
  if (to === null || !(await acceptsWrites(to.client))) return;
  throw stepFailure(
    'FenceFailed',
    `${flip.to.name} accepts writes, and not because of this flip: ${flip.from.name} was not started`,
    {
      hint: '`pgr retry` completes the flip; to go back, stop that server first',
    },
  );
}

/** A third node may have taken over while nobody was at work on this flip. */
async function requireNoOtherPrimary({ deps, input, environment, from, to }: Flip): Promise<void> {
  const others = environment.nodes.filter(({ name }) => name !== from.name && name !== to.name);
  await Promise.all(
    others.map(async ({ name }) => {
      const limits = { connectTimeoutMs: PATIENCE_MS, statementTimeoutMs: PATIENCE_MS };
      const writes = await connectNode(deps, input.environment, name, limits, acceptsWrites).catch(() => false);
      if (!writes) return;
      throw stepFailure('FenceFailed', `${name} accepts writes now: ${from.name} was not started`, {
        hint: 'see `pgr topology`; then `pgr abort`, and `pgr rebuild-standby` where a node is left behind',
      });
    }),
  );
}

/** False also for a server that does not answer at once: clients wait, and it was not promoted by us. */
async function acceptsWrites(client: pg.Client): Promise<boolean> {
  const answer = client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby').then(
    ({ rows }) => rows[0]?.standby === false,
    () => false,
  );
  return Promise.race([answer, delay(PATIENCE_MS, false, { ref: false })]);
}

async function requireWritable(flip: Flip): Promise<void> {
  const { deps, input } = flip;
  const standby = await connectNode(deps, input.environment, flip.from.name, {}, async (client) => {
    const { rows } = await client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
    return rows[0]?.standby;
  });
  if (standby === false) return;
  throw stepFailure('FenceFailed', `${flip.from.name} was started again and does not accept writes`, {
    hint: 'read its server log, then `pgr retry`',
  });
}

async function routeBack(flip: Flip, known: OpenRoutes | null): Promise<void> {
  const routes = known ?? (await openRoutes(flip, 'any'));
  try {
    await routes.routing.route(flip.from.name);
    await routes.routing.release(flip.from.name);
  } finally {
    // One that does not answer is dead, and not paused when it comes back, or its guard resumes it.
    const failed = await resumeAll(routes.poolers);
    if (failed.length > 0) flip.notes.push(`not resumed by this step: ${failed.join('; ')}`);
    if (known === null) await closeRoutes(routes);
  }
}
