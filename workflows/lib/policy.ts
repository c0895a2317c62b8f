import type { EnvironmentFacts, GatePolicy } from '../../shared/contracts/environment.js';

/** The environment's policy for a gate, else its default. */
export function policyFor(facts: EnvironmentFacts, gate: string): GatePolicy {
  return facts.approvals[gate] ?? facts.defaultPolicy;
}
