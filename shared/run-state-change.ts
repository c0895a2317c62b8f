/** Plans of flips, rebuilds and prunes as lines for people. */
import type { FlipPlan } from './contracts/flip.js';
import type { RebuildPlan, SafetyCopy } from './contracts/rebuild.js';
import type { EvidenceCheck } from './contracts/sandbox.js';
import type { PlanView } from './contracts/status.js';
import { formatBytes, formatSeconds } from './run-state-plan.js';

/** The plan of a flip: what moves where, how long nobody can write, what is at risk. */
export function flipPlanView(plan: FlipPlan): PlanView {
  const { from, to, failover, mode, lagBytes, expectedOutageMs, routing, poolers } = plan;
  return {
    hash: plan.hash,
    flip: { from: from.name, to: to.name, failover, mode, lagBytes, expectedOutageMs, routing, poolers },
    summary: [
      failover
        ? `FAILOVER of ${plan.environment}: ${to.name} becomes the primary, ${from.name} is taken for dead`
        : `writes of ${plan.environment} move from ${from.name} to ${to.name}`,
      `expected outage of writes: ${formatMilliseconds(expectedOutageMs)}`,
      ...(failover ? riskLines(plan) : [modeLine(plan)]),
      `lag of ${to.name}: ${lagBytes === null ? 'unknown' : formatBytes(lagBytes)}; timeline ${String(to.timeline)}`,
      `write address: ${routing}`,
      poolers.length === 0
        ? 'no pooler: clients lose their connection once and connect again'
        : `clients wait in ${poolers.join(', ')} meanwhile and see no error`,
      ...plan.logicalSlots.map((slot) => `logical slot ${slot.name} is ${slot.becomes}: ${slot.why}`),
      ...plan.others.map((node) => `standby ${node.name} on ${node.host} has to follow ${to.name}`),
      failover
        ? `${from.name} is fenced by every means first; afterwards it comes back as a standby if it can`
        : `${from.name} comes back as a standby: restarted, else rewound, else a rebuild is proposed`,
      ...plan.warnings.map((warning) => `warning: ${warning}`),
    ],
  };
}

function modeLine({ mode, from, to }: FlipPlan): string {
  return mode === 'stop'
    ? `mode stop: ${from.name} ends in order and proves that ${to.name} has all of it`
    : `mode cut: ${from.name} is stopped at once when ${to.name} has all; its last WAL is searched afterwards`;
}

function riskLines({ atRisk, from, to }: FlipPlan): string[] {
  if (atRisk === null) return [`at risk: what ${from.name} acknowledged and ${to.name} never received`];
  const { lastReceivedLsn, lastKnownPrimaryLsn, bytes, ageSeconds } = atRisk;
  const age = ageSeconds === null ? 'at an unknown time' : `${formatSeconds(ageSeconds)} ago`;
  return [
    `at risk: ${bytes === null ? 'unknown' : formatBytes(bytes)} of WAL that ${from.name} may have acknowledged and ${to.name} does not have`,
    `${to.name} received up to ${lastReceivedLsn ?? 'unknown'}; ${from.name} was last seen at ${lastKnownPrimaryLsn ?? 'unknown'}, ${age}`,
  ];
}

/** `45 ms`, `1.2 s`. */
export function formatMilliseconds(milliseconds: number): string {
  return milliseconds < 1000
    ? `${String(Math.round(milliseconds))} ms`
    : `${String(Number((milliseconds / 1000).toFixed(1)))} s`;
}

/** The plan of a rebuild: the method and why, its cost, and where the old data stay. */
export function rebuildPlanView(plan: RebuildPlan): PlanView {
  const { node, from, method, why, copyBytes, estimateSeconds, rateLimitKbPerSecond, safetyCopy, space } = plan;
  const limit =
    rateLimitKbPerSecond === null
      ? ''
      : `, no faster than ${String(Number((rateLimitKbPerSecond / 1000).toFixed(1)))} MB/s`;
  return {
    hash: plan.hash,
    rebuild: { node: node.name, from: from.name, method, why, copyBytes, estimateSeconds, safetyCopy },
    summary: [
      `rebuild ${node.name} on ${node.host} from ${from.name} on ${from.host}, ${node.dataDir}`,
      `method ${method}: ${why}`,
      `copies ${formatBytes(copyBytes)} in about ${formatSeconds(estimateSeconds)}${limit}`,
      `safety copy first (${safetyCopy.provider}): ${safetyCopy.name}`,
      `space: ${formatBytes(space.needBytes)} needed of ${formatBytes(space.availableBytes)} available at ${space.path}`,
      `an abort puts the old data of ${node.name} back, and so does \`pgr undo\` afterwards`,
      ...plan.warnings.map((warning) => `warning: ${warning}`),
    ],
  };
}

/** What the gate of a rebuild shows: the checks, and the copy that will be there before anything of the data is touched. */
export function rebuildEvidence({ checks, node, safetyCopy }: RebuildPlan): EvidenceCheck[] {
  const data = `${node.role}, ${node.state}, timeline ${String(node.timeline)}, system identifier ${node.systemIdentifier}`;
  return [
    ...checks,
    { check: `data of ${node.name} that are replaced`, expected: data, actual: data, ok: true },
    {
      check: 'safety copy',
      expected: safetyCopy.name,
      actual: safetyCopy.name,
      ok: true,
      note: `${safetyCopy.provider}; taken and verified before the data are touched`,
    },
  ];
}

/** What an undo of a rebuild does. `hash` binds copy and node. */
export type UndoRebuildPlan = {
  node: string;
  host: string;
  dataDir: string;
  /** False: it was down before the rebuild, or its data are not those of a standby. */
  starts: boolean;
  ofRun: string;
  copy: SafetyCopy;
  hash: string;
};

/** Bringing a safety copy back. */
export function undoRebuildPlanView({ node, host, dataDir, starts, ofRun, copy, hash }: UndoRebuildPlan): PlanView {
  return {
    hash,
    summary: [
      `bring the data of ${node} on ${host} back that ${ofRun} replaced`,
      `stop ${node}, set ${dataDir} aside, put ${copy.name} (${copy.provider}, ${copy.createdAt}) in its place`,
      starts
        ? `start it as the standby that it was, timeline ${String(copy.timeline)}`
        : 'it stays stopped, as it was before the rebuild',
    ],
  };
}

export type PrunePlan = {
  remove: SafetyCopy[];
  keep: { copy: SafetyCopy; why: string }[];
  unanswered: { node: string; host: string; why: string }[];
  hash: string;
};

/** What is removed and what stays. */
export function prunePlanView({ remove, keep, unanswered, hash }: PrunePlan): PlanView {
  const size = (copy: SafetyCopy): string => (copy.bytes === null ? 'size unknown' : formatBytes(copy.bytes));
  return {
    hash,
    summary: [
      ...remove.map((copy) => `remove ${copy.name} of ${copy.node}, ${copy.createdAt}, ${size(copy)}, by ${copy.run}`),
      ...keep.map(({ copy, why }) => `keep ${copy.name} of ${copy.node}, ${copy.createdAt}: ${why}`),
      ...unanswered.map(({ node, host, why }) => `warning: copies of ${node} on ${host} are not known: ${why}`),
    ],
  };
}
