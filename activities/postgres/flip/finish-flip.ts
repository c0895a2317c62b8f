/** What can wait until clients work again: settings given back, routers back to their health checks, the numbers. */
import type { FlipResult } from '../../../shared/contracts/flip.js';
import { readFork, restoreSettings } from './candidate.js';
import type { Flip } from './flip-context.js';
import { writeNote, type FlipNote } from './flip-note.js';
import type { OpenNode, OpenRoutes } from './flip-sessions.js';
import { readLostTail } from './lost-tail.js';

/** @param resumedAtMs when clients could go on */
export async function finishFlip(
  flip: Flip,
  to: OpenNode,
  routes: OpenRoutes,
  note: FlipNote,
  resumedAtMs: number,
): Promise<FlipResult> {
  const done = note.state === 'flipped';
  const writeOutageMs = note.writeOutageMs ?? (note.waitingSinceMs === null ? 0 : resumedAtMs - note.waitingSinceMs);
  const phases = done ? note.phases : [...note.phases, ...flip.phases.list()];
  const fork = await readFork(to.client);
  await writeNote(flip, { ...note, state: 'flipped', writeOutageMs, phases });
  await restoreSettings(to.client, note.former);
  await routes.routing.release(flip.to.name);
  return {
    outcome: done ? 'already-flipped' : 'flipped',
    ...fork,
    shutdownLsn: note.shutdownLsn,
    writeOutageMs,
    phases,
    notes: flip.notes,
    lost: await readLost(flip, note, fork.switchLsn),
  };
}

/** A shutdown checkpoint that was replayed proves that nothing is missing; a cut needs a look; another host's WAL is not ours to read here. */
async function readLost(flip: Flip, note: FlipNote, switchLsn: string): Promise<FlipResult['lost']> {
  if (flip.plan.failover) return null;
  if (note.shutdownLsn !== null) return { commits: [], exact: true };
  return readLostTail(flip.from, flip.plan.from.timeline, switchLsn);
}
