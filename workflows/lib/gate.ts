/** Gates: where a run waits for people. One function decides, whichever way a decision comes in. */
import { allHandlersFinished, condition, setHandler } from '@temporalio/workflow';

import type { DecisionOutcome } from '../../shared/contracts/decisions.js';
import { signedTextFor } from '../../shared/contracts/decisions.js';
import type { GatePolicy } from '../../shared/contracts/environment.js';
import type { EvidenceCheck } from '../../shared/contracts/sandbox.js';
import type { StepView } from '../../shared/contracts/status.js';
import { gateCode } from '../../shared/gate-code.js';
import {
  applyDecision,
  findGate,
  needsSignature,
  outcomeOf,
  readDecision,
  requiredApprovals,
  whyRefused,
  type GateState,
  type ReadDecision,
} from '../../shared/gate-policy.js';
import { gateNotice } from '../../shared/notice-facts.js';
import { closeGate, noteDecision, openGate } from '../../shared/run-state.js';
import { approveSignal, decideUpdate, DESCRIPTIONS, rejectSignal } from '../messages.js';
import { orchestrator } from './activity-proxies.js';
import { nowIso, secondsSince } from './clock.js';
import type { Engine } from './engine.js';
import { readFailure, runFailure } from './failures.js';
import { rawSignal, rawUpdate, readPayload, shielded } from './raw-payload.js';

export type GateRequest = {
  gate: string;
  planHash: string;
  evidence: EvidenceCheck[];
  policy: GatePolicy;
  /** What people state by approving; part of the code. */
  statement?: string;
};
type Entry = 'update' | 'signal';

const SIGNALS = [
  ['approve', approveSignal],
  ['reject', rejectSignal],
] as const;

/** Who may decide before a gate was ever opened does not matter: nothing counts then. */
const NO_POLICY: GatePolicy = {
  required: 1,
  from: [],
  notRequester: false,
  expiresInSeconds: 0,
  remindEverySeconds: 0,
  identity: 'declared',
};

export class Gates {
  readonly #engine: Engine;
  readonly #gates: GateState[];
  #turn: Promise<unknown> = Promise.resolve();

  constructor(engine: Engine, names: readonly string[]) {
    this.#engine = engine;
    this.#gates = names.map((name) => ({
      name,
      phase: 'pending',
      code: null,
      earlierCodes: [],
      policy: NO_POLICY,
      requester: engine.view.requestedBy,
      approvedBy: [],
    }));
    this.#listen();
  }

  /** Code of the gate that people decided, null while none was. */
  get decidedCode(): string | null {
    return this.#gates.find((gate) => gate.phase === 'approved' || gate.phase === 'rejected')?.code ?? null;
  }

  /** Opens a gate and waits. Throws GateExpired when nobody decided in time (opening it again gives a new code), or when aborted. */
  async open(request: GateRequest, step: StepView): Promise<'approved' | 'rejected'> {
    const gate = findGate(this.#gates, request.gate);
    if (gate === undefined) throw runFailure('Bug', `the runbook has no gate ${request.gate}`);
    const openedAt = nowIso();
    const expiresAt = new Date(Date.parse(openedAt) + request.policy.expiresInSeconds * 1000).toISOString();
    const code = this.#nextCode(gate, request);
    await this.#engine.mustRecord(
      { kind: 'gate-opened', gate: gate.name, code, evidence: request.evidence, expiresAt, ...statementOf(request) },
      step.id,
    );
    this.#engine.throwIfAborted();
    Object.assign(gate, { phase: 'open', code, policy: request.policy, approvedBy: [] });
    this.#show(gate, request, step, { openedAt, expiresAt });
    try {
      await this.#wait(gate, openedAt, expiresAt);
    } finally {
      if (gate.phase === 'open') this.#withdraw(gate);
    }
    return this.#close(gate, step);
  }

  #nextCode(gate: GateState, request: GateRequest): string {
    if (gate.code !== null) gate.earlierCodes.push(gate.code);
    return gateCode({
      runId: this.#engine.runId,
      gate: gate.name,
      planHash: request.planHash,
      evidence: request.statement === undefined ? request.evidence : [request.statement, request.evidence],
      opening: gate.earlierCodes.length + 1,
    });
  }

  #show(gate: GateState, request: GateRequest, step: StepView, times: { openedAt: string; expiresAt: string }): void {
    const { view } = this.#engine;
    const required = requiredApprovals(request.policy);
    openGate(view, {
      name: gate.name,
      code: gate.code ?? '',
      required,
      ...times,
      expired: false,
      decisions: [],
      evidence: request.evidence,
      ...statementOf(request),
    });
    step.status = 'waiting';
    view.status = 'waiting-approval';
    this.#engine.publish();
    if (view.gate !== null) this.#engine.notices.tell(gateNotice(view.gate, view.plan));
  }

  async #wait(gate: GateState, openedAt: string, expiresAt: string): Promise<void> {
    const remindEveryMs = gate.policy.remindEverySeconds * 1000;
    const expiresMs = Date.parse(expiresAt);
    let remindMs = remindEveryMs > 0 ? Date.parse(openedAt) + remindEveryMs : Number.POSITIVE_INFINITY;
    while (gate.phase === 'open') {
      const untilMs = Math.min(remindMs, expiresMs);
      const summary = untilMs === expiresMs ? `gate ${gate.name} expires` : `reminder of gate ${gate.name}`;
      const decided = await condition(
        () => gate.phase !== 'open' || this.#engine.isAborted(),
        Math.max(1, untilMs - Date.now()),
        { summary },
      );
      if (decided) return;
      if (untilMs === expiresMs) {
        gate.phase = 'expired';
        return;
      }
      remindMs += remindEveryMs;
      this.#remind(gate, openedAt);
    }
  }

  #remind(gate: GateState, openedAt: string): void {
    const waitedSeconds = Math.round(secondsSince(openedAt, nowIso()));
    this.#engine.push({ kind: 'gate-reminder', gate: gate.name, waitedSeconds });
    void this.#engine.flush();
    this.#engine.notices.tell({ event: 'gate-reminder', gate: gate.name, code: gate.code ?? '', waitedSeconds });
  }

  /** The run was aborted: nothing can be decided any more. */
  #withdraw(gate: GateState): void {
    gate.phase = 'withdrawn';
    closeGate(this.#engine.view);
  }

  async #close(gate: GateState, step: StepView): Promise<'approved' | 'rejected'> {
    const { view } = this.#engine;
    step.status = 'running';
    if (gate.phase === 'expired') {
      if (view.gate !== null) view.gate.expired = true;
      this.#engine.push({ kind: 'gate-expired', gate: gate.name });
      throw runFailure('GateExpired', `nobody decided at gate ${gate.name} in time`);
    }
    closeGate(view);
    view.status = 'running';
    this.#engine.publish();
    this.#engine.throwIfAborted();
    // Whoever decided gets their answer before the run goes on, and before it could end.
    await condition(allHandlersFinished);
    const outcome = gate.phase === 'approved' ? 'approved' : 'rejected';
    this.#engine.notices.tell({ event: 'gate-closed', gate: gate.name, outcome, by: gate.approvedBy });
    await this.#engine.mustRecord({ kind: 'gate-closed', gate: gate.name, outcome }, step.id);
    return outcome;
  }

  #listen(): void {
    setHandler(
      rawUpdate(decideUpdate),
      (raw) => shielded(() => this.#decide('update', readDecision(readPayload(raw), null))),
      {
        description: DESCRIPTIONS.decide,
      },
    );
    for (const [name, signal] of SIGNALS) {
      setHandler(
        rawSignal(signal),
        async (raw) => {
          await shielded(() => this.#decide('signal', readDecision(readPayload(raw), name)));
        },
        { description: DESCRIPTIONS[name] },
      );
    }
  }

  /** One decision after the other: two that arrive together must not both be the last one needed. */
  async #decide(entry: Entry, decision: ReadDecision): Promise<DecisionOutcome> {
    const outcome = this.#turn.then(() => this.#judge(entry, decision));
    this.#turn = outcome.catch(() => undefined);
    const judged = await outcome;
    await this.#engine.flushSoon();
    return judged;
  }

  async #judge(entry: Entry, decision: ReadDecision): Promise<DecisionOutcome> {
    let why = whyRefused(this.#gates, decision);
    let identity: 'declared' | 'signed' = 'declared';
    const gate = findGate(this.#gates, decision.gate);
    if (why === null && gate !== undefined && needsSignature(gate)) {
      why = await this.#whyUnsigned(decision);
      if (why === null) identity = 'signed';
      // The gate may have expired or closed while the signature was checked.
      why ??= whyRefused(this.#gates, decision);
    }
    if (why === null && gate !== undefined) Object.assign(gate, applyDecision(gate, decision));
    const outcome = outcomeOf(gate, decision, identity, why);
    noteDecision(this.#engine.view, outcome);
    this.#engine.push({
      kind: 'decision',
      entry,
      gate: decision.gate,
      code: decision.code,
      decision: decision.decision,
      by: decision.by,
      comment: decision.comment,
      identity,
      counted: outcome.counted,
      why,
    });
    this.#engine.publish();
    return outcome;
  }

  async #whyUnsigned(decision: ReadDecision): Promise<string | null> {
    const { view } = this.#engine;
    if (decision.signature === null) return 'signature missing: this gate takes signed decisions only';
    try {
      const { valid, why } = await orchestrator.verifySignature({
        environment: view.environment,
        by: decision.by,
        text: signedTextFor(decision, view.run),
        signature: decision.signature,
      });
      return valid ? null : `invalid signature: ${why ?? 'it does not fit'}`;
    } catch (error) {
      return `the signature could not be checked: ${readFailure(error).message}`;
    }
  }
}

function statementOf({ statement }: GateRequest): { statement?: string } {
  return statement === undefined ? {} : { statement };
}
