/** What was checked at the plan, looked at again in the last moment: a gate may have been open for hours. Changes nothing. */
import { stepFailure } from '../../lib/failure.js';
import type { Flip } from './flip-context.js';
import type { OpenNodes } from './flip-sessions.js';
import { lagBytesOf } from './preflight-checks.js';
import { readNodeFacts } from './preflight-facts.js';
import { waitUntil } from './wait-until.js';

const LAG_PATIENCE_MS = 5_000;

/** Throws PreconditionFailed; nothing was touched. */
export async function readReady(flip: Flip, nodes: OpenNodes): Promise<void> {
  const { from, to } = nodes;
  if (from === null || to === null) throw stepFailure('Bug', 'a flip begins without its nodes');
  const { maxLagBytes } = flip.environment.flip;
  let problem = '';
  const ready = await waitUntil(
    async () => {
      const [old, now] = await Promise.all([readNodeFacts(from.client), readNodeFacts(to.client)]);
      const lag = lagBytesOf(old, now);
      if (now.receiver?.status !== 'streaming')
        problem = `${flip.to.name} does not stream (${now.receiver?.status ?? 'no receiver'})`;
      else if (old.timeline !== now.timeline)
        problem = `timelines ${String(old.timeline)} and ${String(now.timeline)} differ`;
      else if (now.replayPaused) problem = `replay is paused on ${flip.to.name}`;
      else if (lag === null || lag > maxLagBytes)
        problem = `${flip.to.name} is ${String(lag ?? 'an unknown number of')} bytes behind`;
      else return true;
      return null;
    },
    LAG_PATIENCE_MS,
    50,
  );
  if (ready !== null) return;
  throw stepFailure('PreconditionFailed', `not ready any more: ${problem}`, {
    hint: 'nothing was touched; mend it, then `pgr retry`',
  });
}
