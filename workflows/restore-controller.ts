/** The backup controller after the loss of its host: key first, then the container, storage and databases; then a restore is proven. */
import { workflowInfo } from '@temporalio/workflow';

import type {
  AddedDatabase,
  ControllerBase,
  ControllerPlan,
  ControllerResult,
  ControllerStepInput,
  PlannedController,
} from '../shared/contracts/controller.js';
import type { EnvironmentFacts } from '../shared/contracts/environment.js';
import type { RecoveryPlan } from '../shared/contracts/plan.js';
import type { RestoreControllerInput } from '../shared/contracts/runs.js';
import type { SandboxRef } from '../shared/contracts/sandbox.js';
import type { FailureType } from '../shared/failures.js';
import { slugFor } from '../shared/ids.js';
import { controllerCommands, controllerPlanView } from '../shared/run-state-controller.js';
import { RESTORE_CONTROLLER, type RestoreControllerStep } from '../shared/runbooks/restore-controller.js';
import { onHost, orchestrator } from './lib/activity-proxies.js';
import { nowIso, secondsSince } from './lib/clock.js';
import { conductRun, rejected } from './lib/conduct-run.js';
import { requireGood } from './lib/evidence.js';
import { runFailure } from './lib/failures.js';
import { policyFor } from './lib/policy.js';
import { Run } from './lib/run.js';

type ControllerRun = Run<RestoreControllerStep>;
type Planned = { facts: EnvironmentFacts; host: string; plan: ControllerPlan };

/** Nothing was begun and the same call can only be refused again. */
const REFUSALS: readonly FailureType[] = [
  'BadUsage',
  'ConfigInvalid',
  'EnvironmentUnknown',
  'NotFound',
  'CredentialsRefused',
  'IdentityMismatch',
  'PreconditionFailed',
];

export async function restoreController(input: RestoreControllerInput): Promise<ControllerResult | PlannedController> {
  const run: ControllerRun = new Run(RESTORE_CONTROLLER, input);
  return conductRun(run, input, async () => {
    const planned = await check(run, input);
    if (input.planOnly === true) return { outcome: 'planned', plan: planned.plan };
    const databases = await make(run, input, planned);
    const base = await prove(run, input, planned);
    return run.step('write-report', () => Promise.resolve(report(run, planned, databases, base)));
  });
}

async function check(run: ControllerRun, { environment }: RestoreControllerInput): Promise<Planned> {
  const { facts, host, key } = await run.step(
    'prove-key',
    async () => {
      const facts = await orchestrator.readEnvironment({ environment });
      const host = controllerHostOf(facts);
      return { facts, host, key: await onHost(host).proveControllerKey({ environment }) };
    },
    { refusals: REFUSALS },
  );
  run.view.evidence = key.checks;
  const plan = await run.step('check-controller', () => onHost(host).planController({ environment, key }), {
    refusals: REFUSALS,
  });
  run.setPlan(controllerPlanView(plan), plan);
  return { facts, host, plan };
}

function controllerHostOf({ environment, controllerHost }: EnvironmentFacts): string {
  if (controllerHost !== undefined) return controllerHost;
  throw runFailure('ConfigInvalid', `environment ${environment} has no controller in its config`, {
    hint: 'describe it under backups.controller of a store of kind databasus: docs/restore-controller.md',
  });
}

async function make(run: ControllerRun, input: RestoreControllerInput, planned: Planned): Promise<AddedDatabase[]> {
  const { environment } = input;
  const { facts, plan } = planned;
  const host = onHost(planned.host);
  const decision = await run.step('approve-controller', async (attempt) => {
    // What is there may have changed while the gate was closed: then people decide about another plan.
    if (attempt > 1) planned.plan = await planAgain(run, planned);
    const policy = policyFor(facts, 'controller');
    const { hash: planHash, key } = planned.plan;
    return run.openGate('approve-controller', { gate: 'controller', planHash, evidence: key.checks, policy });
  });
  if (decision === 'rejected') throw rejected('gate controller was rejected; nothing was made', { plan });
  const step: ControllerStepInput = { environment, run: workflowInfo().workflowId, plan: planned.plan };
  await run.step('place-key', () => host.placeControllerKey(step));
  await run.step('start-controller', () => host.startController(step));
  await run.step('set-up-users', () => host.setUpControllerUsers(step));
  await run.step('add-storage', () => host.addControllerStorage(step));
  const { databases } = await run.step('add-databases', () => host.addControllerDatabases(step));
  return databases;
}

async function planAgain(run: ControllerRun, { host, plan: { environment } }: Planned): Promise<ControllerPlan> {
  const key = await onHost(host).proveControllerKey({ environment });
  const plan = await onHost(host).planController({ environment, key });
  run.setPlan(controllerPlanView(plan), plan);
  return plan;
}

async function prove(run: ControllerRun, input: RestoreControllerInput, planned: Planned): Promise<ControllerBase> {
  const { environment } = input;
  const { workflowId, runId } = workflowInfo();
  const { facts, plan } = planned;
  const host = onHost(facts.sandboxHost);
  const ref: SandboxRef = { environment, run: workflowId, runId, sandbox: slugFor(runId), host: facts.sandboxHost };
  const recovery = await run.step('approve-proof', async () => {
    const target = { kind: 'latest' } as const;
    const asked = { environment, host: ref.host, target, store: plan.bucket, requestedAt: nowIso() };
    const recovery = await host.planRecovery(asked);
    const policy = policyFor(facts, 'proof');
    const evidence = proofEvidence(recovery, plan.bucket);
    const gate = { gate: 'proof', planHash: recovery.hash, evidence, policy };
    return (await run.openGate('approve-proof', gate)) === 'rejected' ? null : recovery;
  });
  if (recovery === null) throw rejected('gate proof was rejected; the controller stays as it is, unproven', { plan });
  await run.step('prove-restore', () => restore(run, ref, recovery), {
    undo: { step: 'discard-sandbox', title: 'Discard the sandbox', work: () => host.discardSandbox({ ref }) },
  });
  await run.step('discard-sandbox', () => host.discardSandbox({ ref }));
  run.undo.forget('discard-sandbox');
  if (run.view.sandbox !== null) run.view.sandbox.state = 'discarded';
  const [node] = facts.nodes;
  if (node === undefined) throw runFailure('ConfigInvalid', `environment ${environment} has no node`);
  return run.step('take-base', () =>
    onHost(node.host).takeBase({ environment, node: node.name, run: workflowId, runId, kind: 'full' }),
  );
}

function proofEvidence({ boundary, systemIdentifier }: RecoveryPlan, store: string): ControllerPlan['key']['checks'] {
  const kept = boundary.kept === null ? 'no commit' : `transaction ${boundary.kept.xid} at ${boundary.kept.time}`;
  const actual = `system ${systemIdentifier}, up to ${kept}`;
  return [{ check: `store ${store}`, expected: 'its newest state can be restored', actual, ok: true }];
}

/** Every activity finds its work of an earlier attempt, so the whole is tried again. */
async function restore(run: ControllerRun, ref: SandboxRef, recovery: RecoveryPlan): Promise<void> {
  const host = onHost(ref.host);
  const { port, url } = await host.prepareSandbox({ ref, plan: recovery });
  run.view.sandbox = { host: ref.host, port, url, state: 'prepared', expiresAt: null };
  const restored = await host.restoreBase({ ref, plan: recovery });
  const plan = restored.plan ?? recovery;
  const combined = await host.combineIncrementals({ ref, plan });
  run.view.measured.restoreSeconds = restored.seconds + combined.seconds;
  run.view.sandbox.state = 'replaying';
  run.view.measured.replaySeconds = (await host.replayWal({ ref, plan })).seconds;
  run.view.sandbox.state = 'paused';
  const verified = await host.verifySandbox({ ref, plan });
  run.view.evidence = verified.checks;
  requireGood(run, verified);
}

function report(
  run: ControllerRun,
  { plan }: Planned,
  databases: AddedDatabase[],
  base: ControllerBase,
): ControllerResult {
  run.view.measured.rtoSeconds = secondsSince(run.view.startedAt, nowIso());
  const { restoreSeconds = 0, replaySeconds = 0, rtoSeconds = 0 } = run.view.measured;
  const commands = controllerCommands(plan, databases);
  run.view.next = commands;
  return {
    outcome: 'restored',
    environment: plan.environment,
    plan,
    databases,
    evidence: run.view.evidence ?? [],
    base,
    measured: { rtoSeconds, restoreSeconds, replaySeconds },
    commands,
  };
}
