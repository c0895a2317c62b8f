/** What makes two restores the same: only then does one go on where another was killed. Pure. */
import { canonicalJson } from '../../../shared/canonical-json.js';
import type { DevPlan } from '../../../shared/contracts/dev.js';
import { sha256Hex } from '../../../shared/sha256.js';

type Same = Pick<
  DevPlan,
  'environment' | 'source' | 'dump' | 'mode' | 'deferred' | 'skipMatviews' | 'postRestore' | 'defaultPartitions'
>;

export function fingerprintOf(plan: Same): string {
  const { environment, source, dump, mode, deferred, skipMatviews, postRestore, defaultPartitions } = plan;
  return sha256Hex(
    canonicalJson({ environment, source, dump, mode, deferred, skipMatviews, postRestore, defaultPartitions }),
  ).slice(0, 32);
}
