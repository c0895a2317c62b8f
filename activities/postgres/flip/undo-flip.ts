/**
 * Everything back as it was: the old primary takes writes again and clients reach it. Only before the promotion was ordered. Each part may be repeated;
 * what is as it should be is left alone.
 */
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
  await requireNotPromoted(flip, to);
  await startAgain(flip);
  await removeFence(flip.deps.config.stateDir, flip.input.environment, flip.from.name);
  await requireWritable(flip);
  await routeBack(flip, routes);
  if (to !== null) await restoreCandidate(flip, to, note);
  await removeNote(flip);
  flip.phases.mark('undone');
  return stepFailure('FlipUndone', `${flip.from.name} takes writes again: ${why}`);
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
  const rows = await (
    to?.client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby') ?? Promise.resolve({ rows: [] })
  ).then(
    (result) => result.rows,
    () => [],
  );
  if (rows[0]?.standby !== false) return;
  throw stepFailure(
    'FenceFailed',
    `${flip.to.name} accepts writes, and not because of this flip: ${flip.from.name} was not started`,
    {
      hint: '`pgr retry` completes the flip; to go back, stop that server first',
    },
  );
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
  const routes = known ?? (await openRoutes(flip));
  try {
    await routes.routing.route(flip.from.name);
    await routes.routing.release(flip.from.name);
    const failed = await resumeAll(routes.poolers);
    if (failed.length > 0) throw stepFailure('RoutingUnavailable', `not resumed: ${failed.join('; ')}`);
  } finally {
    if (known === null) await closeRoutes(routes);
  }
}
