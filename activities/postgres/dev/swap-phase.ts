/** The finished database takes the place of the one in use. */
import { faultPoint } from '../../lib/fault-points.js';
import { swapIn } from './databases.js';
import { fingerprintOf } from './fingerprint.js';
import type { Outcome, Phase } from './phase.js';

const FAULT_SWAPPED = 'restore-dev:swapped';

export async function swapPhase({ plan, server, names, maintenance }: Phase): Promise<Outcome> {
  const outcome = await swapIn(maintenance, server, names, fingerprintOf(plan));
  faultPoint(FAULT_SWAPPED);
  return { outcome: outcome === 'already' ? 'already-done' : 'done' };
}
