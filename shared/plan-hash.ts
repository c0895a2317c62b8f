/** The hash by which a recovery plan is approved. */
import { canonicalJson } from './canonical-json.js';
import type { RecoveryPlan } from './contracts/plan.js';
import { sha256Hex } from './sha256.js';

/**
 * SHA-256 (hex) over everything in a plan that a decision rests on. Left out is what changes without anybody deciding anything: the
 * estimate and the space that happens to be free.
 */
export function planHashOf(plan: Omit<RecoveryPlan, 'hash'>): string {
  const space = { ...plan.space, availableBytes: undefined };
  return sha256Hex(canonicalJson({ ...plan, hash: undefined, estimate: undefined, space }));
}
