/** Point-in-time recovery into a sandbox; on approval the child runbook `promote` makes it production. */
import { workflowInfo } from '@temporalio/workflow';

import type { EnvironmentFacts } from '../shared/contracts/environment.js';
import type { RecoveryPlan } from '../shared/contracts/plan.js';
import type { PitrInput, PlannedRecovery } from '../shared/contracts/runs.js';
import type {
  PrepareSandboxResult,
  RecoveryResult,
  SandboxRef,
  VerifySandboxResult,
} from '../shared/contracts/sandbox.js';
import { slugFor } from '../shared/ids.js';
import { PITR, type PitrStep } from '../shared/runbooks/pitr.js';
import { recoveryPlanView } from '../shared/run-state-plan.js';
import { formatTarget } from '../shared/target-time.js';
import type { FailureType } from '../shared/failures.js';
import { onHost, orchestrator } from './lib/activity-proxies.js';
import { nowIso, secondsSince } from './lib/clock.js';
import { conductRun, rejected } from './lib/conduct-run.js';
import { requireGood } from './lib/evidence.js';
import { keepSandbox } from './lib/keep-sandbox.js';
import { policyFor } from './lib/policy.js';
import { leaveOut, passOver } from './lib/pass-over.js';
import { hasOtherStore, otherStores, type Stores } from './lib/pitr-stores.js';
import { isLeft, Run } from './lib/run.js';
import { startPromotion } from './lib/start-promotion.js';

type PitrRun = Run<PitrStep>;
type Planned = { facts: EnvironmentFacts; plan: RecoveryPlan; ref: SandboxRef };
type Recovered = { sandbox: PrepareSandboxResult; verified: VerifySandboxResult; plan: RecoveryPlan };

/** Wrong input: nothing was begun and the same target can only be refused again, so the run ends instead of waiting for a person. */
const REFUSALS: readonly FailureType[] = [
  'BadUsage',
  'TargetMalformed',
  'TargetNotRecoverable',
  'TargetInHole',
  'EnvironmentUnknown',
  'ConfigInvalid',
  'NotFound',
];

export async function pitr(input: PitrInput): Promise<RecoveryResult | PlannedRecovery> {
  const run: PitrRun = new Run(PITR, input, formatTarget(input.target));
  const kept: { sandbox: Kept | null } = { sandbox: null };
  return conductRun(
    run,
    input,
    async () => {
      const planned = await checkTarget(run, input);
      if (input.planOnly === true) return { outcome: 'planned', plan: planned.plan };
      const stores = storesOf(run, input, planned);
      for (;;) {
        const now = { ...planned, plan: stores.plan };
        try {
          const recovered = await recover(run, input, now, stores.leave);
          return await finish(run, input, { ...now, plan: recovered.plan }, recovered, kept);
        } catch (error) {
          if (!isLeft(error)) throw error;
        }
      }
    },
    // A sandbox whose promotion began is not dropped by an abort: it is kept for its time, for a second try.
    async () => {
      if (kept.sandbox !== null) await keepSandbox(kept.sandbox.ref, kept.sandbox.expiresAt, input.requestedBy);
    },
  );
}

type Kept = { ref: SandboxRef; expiresAt: string };

async function checkTarget(run: PitrRun, input: PitrInput): Promise<Planned> {
  const { environment, target } = input;
  const { workflowId, runId } = workflowInfo();
  const { facts, plan } = await run.step(
    'check-target',
    async () => {
      const facts = await orchestrator.readEnvironment({ environment });
      const host = input.host ?? facts.sandboxHost;
      const plan = await onHost(host).planRecovery({
        environment,
        host,
        target,
        requestedAt: nowIso(),
        ...(input.store === undefined ? {} : { store: input.store }),
      });
      return { facts, plan };
    },
    { refusals: input.planOnly === true ? [...REFUSALS, 'SpaceMissing', 'MajorMismatch'] : REFUSALS },
  );
  run.setPlan(recoveryPlanView(plan), plan);
  return { facts, plan, ref: { environment, run: workflowId, runId, sandbox: slugFor(runId), host: plan.host } };
}

/** A store that breaks after the plan was made is left for another one, with approval. */
function storesOf(run: PitrRun, input: PitrInput, { facts, plan, ref }: Planned): Stores {
  if (plan.stores === undefined) leaveOut(run, 'approve-store');
  else if (!hasOtherStore(plan)) passOver(run, 'approve-store', 'no other backup store is known to reach the target');
  const host = onHost(plan.host);
  const { environment, target } = input;
  return otherStores(run, plan, {
    facts,
    discard: () => host.discardSandbox({ ref }),
    planFrom: (store) => host.planRecovery({ environment, host: plan.host, target, requestedAt: nowIso(), store }),
  });
}

async function recover(
  run: PitrRun,
  input: PitrInput,
  { plan: planned, ref }: Planned,
  leave: Stores['leave'],
): Promise<Recovered> {
  const host = onHost(planned.host);
  const sandbox = await run.step('prepare-sandbox', () => host.prepareSandbox({ ref, plan: planned }), {
    undo: { step: 'discard-sandbox', title: 'Discard the sandbox', work: () => host.discardSandbox({ ref }) },
  });
  const showSandbox = (state: 'prepared' | 'restored' | 'replaying' | 'paused'): void => {
    run.view.sandbox = { host: ref.host, port: sandbox.port, url: sandbox.url, state, expiresAt: null };
  };
  showSandbox('prepared');
  const restored = await run.step('restore-base', () => host.restoreBase({ ref, plan: planned }), { leave });
  // A store that shows its WAL only while it is fetched: from here on the plan has its boundary.
  const plan = restored.plan ?? planned;
  if (restored.plan !== undefined) run.setPlan(recoveryPlanView(plan), plan);
  const combined = await run.step('combine-incrementals', () => host.combineIncrementals({ ref, plan }), { leave });
  run.view.measured.restoreSeconds = restored.seconds + combined.seconds;
  showSandbox('replaying');
  const replayed = await run.step('replay-wal', () => host.replayWal({ ref, plan }), { leave });
  run.view.measured.replaySeconds = replayed.seconds;
  showSandbox('paused');
  const verified = await run.step('verify-sandbox', async () => {
    const result = await host.verifySandbox({ ref, plan });
    run.view.evidence = result.checks;
    if (input.promote) requireGood(run, result);
    return result;
  });
  run.view.measured.rtoSeconds = secondsSince(run.view.startedAt, nowIso());
  run.view.measured.rpoSeconds = plan.lost.seconds;
  return { sandbox, verified, plan };
}

async function finish(
  run: PitrRun,
  input: PitrInput,
  planned: Planned,
  recovered: Recovered,
  kept: { sandbox: Kept | null },
): Promise<RecoveryResult> {
  const { facts, plan, ref } = planned;
  const ttlMs = (input.ttlSeconds ?? facts.sandboxTtlSeconds) * 1000;
  const keep = async (): Promise<RecoveryResult> => {
    const expiresAt = new Date(Date.now() + ttlMs).toISOString();
    await keepSandbox(ref, expiresAt, input.requestedBy);
    if (run.view.sandbox !== null) run.view.sandbox.expiresAt = expiresAt;
    return resultOf(run, 'kept', planned, recovered, expiresAt);
  };
  if (!input.promote) return keep();

  let { verified } = recovered;
  const decision = await run.step('approve-promote', async (attempt) => {
    // A gate that is opened again must show what is true now, not what was true yesterday.
    if (attempt > 1) {
      verified = await onHost(plan.host).verifySandbox({ ref, plan });
      run.view.evidence = verified.checks;
      requireGood(run, verified);
    }
    const policy = policyFor(facts, 'promote');
    return run.openGate('approve-promote', { gate: 'promote', planHash: plan.hash, evidence: verified.checks, policy });
  });
  if (decision === 'rejected') {
    throw rejected('gate promote was rejected; the sandbox is kept', await keep());
  }

  const promotion = await run.step('promote', () =>
    startPromotion(run, { input, ref, plan, evidence: verified.checks }, () => {
      // From here on putting production back is the child's business, and the sandbox may be production already.
      run.undo.forget('discard-sandbox');
      kept.sandbox = { ref, expiresAt: new Date(Date.now() + ttlMs).toISOString() };
    }),
  );
  Object.assign(run.view.measured, promotion.result.measured);
  if (run.view.sandbox !== null) run.view.sandbox.state = 'promoted';
  return {
    ...resultOf(run, 'promoted', planned, { ...recovered, verified }, ''),
    promotion: { run: promotion.run, runId: promotion.runId },
  };
}

function resultOf(
  run: PitrRun,
  outcome: 'kept' | 'promoted',
  { ref, plan }: Planned,
  { sandbox, verified }: Recovered,
  expiresAt: string,
): RecoveryResult {
  const { restoreSeconds = 0, replaySeconds = 0, rtoSeconds = 0, rpoSeconds = 0 } = run.view.measured;
  const { dir, dataDir, port, url } = sandbox;
  return {
    outcome,
    ref,
    plan,
    sandbox: { dir, dataDir, port, url, expiresAt },
    evidence: verified.checks,
    counts: verified.counts,
    measured: { restoreSeconds, replaySeconds, rtoSeconds, rpoSeconds },
    promotion: null,
  };
}
