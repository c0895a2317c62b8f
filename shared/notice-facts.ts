/** Facts of notices, from the state of a run. Pure. */
import type { NoticeEvidence, NoticeFacts, NoticePlan } from './contracts/notices.js';
import type { EvidenceCheck } from './contracts/sandbox.js';
import type { GateView, PlanView, RunView } from './contracts/status.js';

/** Checks that travel with a notice. */
const MAX_CHECKS = 40;

/** An open gate: what is decided, by which evidence, with which code. */
export function gateNotice(gate: GateView, plan: PlanView | null): NoticeFacts {
  const { name, code, required, expiresAt, statement } = gate;
  return {
    event: 'gate-opened',
    gate: name,
    code,
    required,
    expiresAt,
    ...(statement === undefined ? {} : { statement }),
    plan: plan === null ? null : noticePlan(plan),
    evidence: noticeEvidence(gate.evidence),
  };
}

/** A run that waits for a person: at a gate where nobody decided, or at a step that failed. */
export function parkedNotice(view: RunView, step: string, code: string, choices: string[]): NoticeFacts {
  if (code === 'GateExpired') return { event: 'gate-expired', step, gate: view.gate?.name ?? '' };
  const title = view.steps.find(({ id }) => id === step)?.title ?? step;
  return { event: 'needs-attention', step, title, code, choices };
}

/** The end of a run, with what was measured. */
export function endNotice(view: RunView, endedAt: string, isDown: boolean): NoticeFacts {
  const { status, measured, failure } = view;
  return {
    event: 'ended',
    status,
    seconds: Math.round((Date.parse(endedAt) - Date.parse(view.startedAt)) / 1000),
    measured: { ...measured },
    failure: failure === null ? null : { step: failure.step, code: failure.code },
    isDown,
  };
}

/** Names and verdicts: what a check found may be a row of data, or the answer to a query of the config. */
function noticeEvidence(checks: readonly EvidenceCheck[]): NoticeEvidence {
  return {
    good: checks.filter(({ ok }) => ok).length,
    total: checks.length,
    checks: checks.slice(0, MAX_CHECKS).map(({ check, ok }) => ({ check, ok })),
  };
}

function noticePlan({ hash, target, boundary, flip, rebuild }: PlanView): NoticePlan {
  return {
    hash,
    ...(target === undefined ? {} : { target }),
    ...(boundary === undefined ? {} : { boundary }),
    ...(flip === undefined ? {} : { flip: { from: flip.from, to: flip.to, failover: flip.failover } }),
    ...(rebuild === undefined ? {} : { rebuild: { node: rebuild.node, from: rebuild.from, method: rebuild.method } }),
  };
}
