/** Clients wait instead of failing: poolers are paused in parallel, each with a bound of its own, and always resumed again. */
import type { PauseBlocker, PoolerSession } from '../../lib/routing.js';
import type { Flip } from './flip-context.js';
import type { OpenRoutes } from './flip-sessions.js';
import { allToTheEnd } from './wait-until.js';

export type Quiesced = { outcome: 'paused' } | { outcome: 'gave-up'; why: string };

/** Starts the guard: before the pause, and not so early that its deadline passes while there is nothing to guard. */
export async function startGuard(flip: Flip, routes: OpenRoutes): Promise<void> {
  if (routes.poolers.length > 0) routes.guard ??= await flip.deps.pauseGuard(flip.input.environment);
}

/** A pooler that cannot pause in time means that none stays paused. Throws what a pooler throws; the caller resumes. */
export async function pauseAll(flip: Flip, routes: OpenRoutes): Promise<Quiesced> {
  const { poolers, guard } = routes;
  await guard?.extend();
  const stillWaiting = async (): Promise<void> => guard?.extend();
  const outcomes = await allToTheEnd(
    poolers.map(async (pooler) => ({ pooler, answer: await pooler.pause({ stillWaiting }) })),
  );
  await guard?.extend();
  const stuck: string[] = [];
  for (const { pooler, answer } of outcomes) {
    if (answer.outcome === 'gave-up') stuck.push(`${pooler.name} cannot pause: ${describe(answer.blockers)}`);
    else if (answer.ended.length > 0) flip.notes.push(`${pooler.name} ended ${describe(answer.ended)}`);
  }
  return stuck.length === 0 ? { outcome: 'paused' } : { outcome: 'gave-up', why: stuck.join('; ') };
}

function describe(blockers: readonly PauseBlocker[]): string {
  const words = blockers.map(
    ({ pid, database, user, ageSeconds, query }) =>
      `${user}@${database}${pid === null ? '' : ` pid ${String(pid)}`} for ${String(ageSeconds)} s (${query.slice(0, 60)})`,
  );
  return words.length === 0 ? 'sessions that it does not name' : words.join(', ');
}

/** Resumes every pooler, with new server connections; returns the names of those that did not answer, which their guard resumes. */
export async function resumeAll(poolers: readonly PoolerSession[]): Promise<string[]> {
  const failed = await Promise.all(
    poolers.map(async (pooler) => {
      // A pooler that cannot reconnect is resumed all the same: its old server connections are dead and are replaced one by one.
      await pooler.reconnect().catch(() => undefined);
      return pooler.resume().then(
        () => [],
        (error: unknown) => [`${pooler.name}: ${error instanceof Error ? error.message : String(error)}`],
      );
    }),
  );
  return failed.flat();
}
