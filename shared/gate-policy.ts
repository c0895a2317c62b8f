/**
 * Who may decide what, and when: pure rules over one decision as it arrived. The workflow applies them in the handler, not in a
 * validator, because a decision that a validator turns away leaves no trace in the history.
 */
import type { DecisionOutcome } from './contracts/decisions.js';
import type { GatePolicy } from './contracts/environment.js';
import { normaliseCode } from './gate-code.js';
import { oneLine, shorten } from './markdown.js';

/** A decision after reading: every field is there and short; `problem` says what was wrong with what arrived. */
export type ReadDecision = {
  gate: string;
  code: string;
  by: string;
  decision: 'approve' | 'reject';
  comment: string;
  signature: string | null;
  problem: string | null;
};

type GatePhase = 'pending' | 'open' | 'expired' | 'approved' | 'rejected' | 'withdrawn';

/** A gate of the runbook under this run. */
export type GateState = {
  name: string;
  phase: GatePhase;
  code: string | null;
  /** Codes of earlier openings and of decisions on older evidence. */
  earlierCodes: string[];
  policy: GatePolicy;
  requester: string;
  /** Names of those whose approval counts at this opening, normalised. */
  approvedBy: string[];
};

/** What the examples show: pasted as it is, it names nobody. */
const NAME_TO_REPLACE = 'your name';
const MAX_NAME = 120;
const MAX_COMMENT = 1_000;
const MAX_SIGNATURE = 10_000;

/** One person under one name: `Ana `, `ana` and `ANA` are the same, invisible characters do not make another. */
export function normaliseName(name: string): string {
  return oneLine(name.normalize('NFKC')).toLowerCase();
}

/**
 * Reads a payload of any shape (the Web UI sends what was typed into its editor). `decision` is given by the signal's name, or
 * null when the payload has to say it.
 */
export function readDecision(payload: unknown, decision: 'approve' | 'reject' | null): ReadDecision {
  const fields = asFields(payload);
  const said = decision ?? fields['decision'];
  const read: ReadDecision = {
    gate: shortText(fields['gate'], MAX_NAME),
    code: shortText(fields['code'], 40),
    by: shortText(fields['by'], MAX_NAME),
    decision: said === 'reject' ? 'reject' : 'approve',
    comment: shortText(fields['comment'], MAX_COMMENT),
    signature: typeof fields['signature'] === 'string' ? fields['signature'].slice(0, MAX_SIGNATURE) : null,
    problem: null,
  };
  return { ...read, problem: problemOf(payload, fields, said, read) };
}

function problemOf(
  payload: unknown,
  fields: Record<string, unknown>,
  said: unknown,
  read: ReadDecision,
): string | null {
  if (payload === null || typeof payload !== 'object' || Array.isArray(payload)) {
    return `malformed: expected a JSON object such as {"gate":"promote","code":"K7QF2M","by":"ana"}, got ${kindOf(payload)}`;
  }
  const missing = (['gate', 'code', 'by'] as const).filter((name) => read[name] === '');
  if (missing.length > 0) return `malformed: ${missing.join(', ')} missing or not a text`;
  if (normaliseName(read.by) === NAME_TO_REPLACE) return 'malformed: put your own name in the place of YOUR NAME';
  if (said !== 'approve' && said !== 'reject') return 'malformed: decision must be "approve" or "reject"';
  const strange = (['comment', 'signature'] as const).filter(
    (name) => fields[name] !== undefined && fields[name] !== null && typeof fields[name] !== 'string',
  );
  return strange.length > 0 ? `malformed: ${strange.join(', ')} is not a text` : null;
}

/** Why `decision` does not count at this moment, null when only the signature is left to check. */
export function whyRefused(gates: readonly GateState[], decision: ReadDecision): string | null {
  if (decision.problem !== null) return decision.problem;
  const gate = findGate(gates, decision.gate);
  if (gate === undefined) {
    const known = gates.map((one) => one.name).join(', ');
    return `unknown gate: this runbook has ${known === '' ? 'no gate' : known}`;
  }
  return whyClosed(gate) ?? whyWrongCode(gate, decision) ?? whyNotAllowed(gate, decision);
}

/** The gate that a decision names. */
export function findGate(gates: readonly GateState[], name: string): GateState | undefined {
  return gates.find((gate) => gate.name === name.toLowerCase());
}

function whyClosed(gate: GateState): string | null {
  switch (gate.phase) {
    case 'open':
      return null;
    case 'pending':
      return `early: gate ${gate.name} is not open yet`;
    case 'expired':
      return `expired: \`pgr retry\` opens gate ${gate.name} again with a new code`;
    default:
      return `closed: gate ${gate.name} was ${gate.phase} already`;
  }
}

function whyWrongCode(gate: GateState, decision: ReadDecision): string | null {
  const code = normaliseCode(decision.code);
  if (code === gate.code) return null;
  return gate.earlierCodes.includes(code)
    ? 'stale code: plan or evidence changed since; look again and use the code shown now'
    : 'wrong code';
}

function whyNotAllowed(gate: GateState, decision: ReadDecision): string | null {
  const name = normaliseName(decision.by);
  const { policy } = gate;
  if (policy.from.length > 0 && !policy.from.some((allowed) => normaliseName(allowed) === name)) {
    return `foreign: ${decision.by} is not one of those who may decide here (${policy.from.join(', ')})`;
  }
  if (decision.decision === 'reject') return null;
  if (policy.notRequester && name === normaliseName(gate.requester)) {
    return 'own request: the person who asked for the run may not approve it';
  }
  if (gate.approvedBy.includes(name)) return `repeated: ${decision.by} has approved already`;
  if (policy.identity === 'signed' && decision.signature === null) {
    return 'signature missing: this gate takes signed decisions only, see `pgr approve --print`';
  }
  return null;
}

/** True when a rejection needs its signature checked too: whoever may not approve must not be able to close the gate under another name. */
export function needsSignature(gate: GateState): boolean {
  return gate.policy.identity === 'signed';
}

/** How many different people must approve; never less than one. */
export function requiredApprovals(policy: GatePolicy): number {
  return Math.max(1, Math.floor(policy.required));
}

/** Lets a decision count: the gate afterwards. */
export function applyDecision(gate: GateState, decision: ReadDecision): GateState {
  if (decision.decision === 'reject') return { ...gate, phase: 'rejected' };
  const approvedBy = [...gate.approvedBy, normaliseName(decision.by)];
  return { ...gate, approvedBy, phase: approvedBy.length >= requiredApprovals(gate.policy) ? 'approved' : gate.phase };
}

/** The answer to whoever decided, and the line in the status. */
export function outcomeOf(
  gate: GateState | undefined,
  decision: ReadDecision,
  identity: 'declared' | 'signed',
  why: string | null,
): DecisionOutcome {
  return {
    gate: decision.gate,
    decision: decision.decision,
    by: decision.by,
    identity,
    counted: why === null,
    why,
    approvals: gate?.approvedBy.length ?? 0,
    required: gate === undefined ? 0 : requiredApprovals(gate.policy),
  };
}

/** A command such as retry or abort, of any shape. */
export type ReadCommand = { by: string; reason: string; problem: string | null };

export function readCommand(payload: unknown, reasonRequired: boolean): ReadCommand {
  const fields = asFields(payload);
  const by = shortText(fields['by'], MAX_NAME);
  const reason = shortText(fields['reason'], MAX_COMMENT);
  if (by === '') return { by, reason, problem: 'malformed: "by" must name who asks' };
  if (reasonRequired && reason === '') return { by, reason, problem: 'malformed: "reason" must say why' };
  return { by, reason, problem: null };
}

function asFields(payload: unknown): Record<string, unknown> {
  return payload !== null && typeof payload === 'object' && !Array.isArray(payload)
    ? (payload as Record<string, unknown>)
    : {};
}

function shortText(value: unknown, length: number): string {
  return typeof value === 'string' ? shorten(oneLine(value), length) : '';
}

function kindOf(payload: unknown): string {
  if (payload === null || payload === undefined) return 'nothing';
  return Array.isArray(payload) ? 'an array' : `a ${typeof payload}`;
}
