/** The hashes by which plans are approved. */
import { canonicalJson } from './canonical-json.js';
import type { ControllerPlan } from './contracts/controller.js';
import type { FlipPlan } from './contracts/flip.js';
import type { RecoveryPlan } from './contracts/plan.js';
import type { RebuildPlan } from './contracts/rebuild.js';
import { sha256Hex } from './sha256.js';

/**
 * SHA-256 (hex) over everything in a plan that a decision rests on. Left out is what changes without anybody deciding anything: the
 * estimate and the space that happens to be free.
 */
export function planHashOf(plan: Omit<RecoveryPlan, 'hash'>): string {
  const space = { ...plan.space, availableBytes: undefined };
  return sha256Hex(canonicalJson({ ...plan, hash: undefined, estimate: undefined, stores: undefined, space }));
}

/** The same for a flip: without what differs at every look (lag, the actual values of checks, ages). */
export function flipPlanHashOf(plan: Omit<FlipPlan, 'hash'>): string {
  const checks = plan.checks.map(({ check, expected, ok }) => ({ check, expected, ok }));
  return sha256Hex(
    canonicalJson({
      ...plan,
      hash: undefined,
      lagBytes: undefined,
      expectedOutageMs: undefined,
      atRisk: undefined,
      warnings: undefined,
      checks,
    }),
  );
}

/** What a decision about a rebuild rests on: node, peer, method, copy and checks; not sizes, estimates and the space that happens to be free. */
export function rebuildDecisionHashOf(plan: RebuildPlan): string {
  const { environment, node, from, method, fallback, rateLimitKbPerSecond, safetyCopy } = plan;
  const checks = plan.checks.map(({ check, expected, ok }) => ({ check, expected, ok }));
  return sha256Hex(
    canonicalJson({ environment, node, from, method, fallback, rateLimitKbPerSecond, safetyCopy, checks }),
  );
}

/** The same for a controller: all of it. Ages of backups are in the evidence of the key, which is left out but for the key itself. */
export function controllerPlanHashOf(plan: Omit<ControllerPlan, 'hash'>): string {
  const { fingerprint, store, isProven } = plan.key;
  return sha256Hex(canonicalJson({ ...plan, hash: undefined, key: { fingerprint, store, isProven } }));
}
