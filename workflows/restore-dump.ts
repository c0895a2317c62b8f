/** A logical dump becomes a cluster of its own in a sandbox: kept to look at, handed over on approval, or promoted by the child runbook `dump-promotion`. */
import { workflowInfo } from '@temporalio/workflow';

import type {
  DumpPlan,
  DumpResult,
  PlannedDump,
  PrepareDumpSandboxResult,
  VerifyDumpResult,
} from '../shared/contracts/dump.js';
import type { EnvironmentFacts } from '../shared/contracts/environment.js';
import type { RestoreDumpInput } from '../shared/contracts/runs.js';
import type { SandboxRef } from '../shared/contracts/sandbox.js';
import type { FailureType } from '../shared/failures.js';
import { keptCommands } from '../shared/dump-commands.js';
import { slugFor } from '../shared/ids.js';
import { dumpPlanView } from '../shared/run-state-dump.js';
import { RESTORE_DUMP, type RestoreDumpStep } from '../shared/runbooks/restore-dump.js';
import { onHost, orchestrator } from './lib/activity-proxies.js';
import { nowIso, secondsSince } from './lib/clock.js';
import { conductRun, rejected } from './lib/conduct-run.js';
import { requireGood } from './lib/evidence.js';
import { keepSandbox } from './lib/keep-sandbox.js';
import { leaveOut } from './lib/pass-over.js';
import { policyFor } from './lib/policy.js';
import { Run } from './lib/run.js';
import { startDumpPromotion } from './lib/start-promotion.js';

type DumpRun = Run<RestoreDumpStep>;
type Planned = { facts: EnvironmentFacts; plan: DumpPlan; ref: SandboxRef };
type Restored = { sandbox: PrepareDumpSandboxResult; verified: VerifyDumpResult };

/** Wrong input: nothing was begun and the same dump can only be refused again, so the run ends instead of waiting for a person. */
const REFUSALS: readonly FailureType[] = [
  'BadUsage',
  'ConfigInvalid',
  'EnvironmentUnknown',
  'NotFound',
  'BackupCorrupt',
  'CredentialsRefused',
  'MajorMismatch',
  'PreconditionFailed',
  'SpaceMissing',
];

export async function restoreDump(input: RestoreDumpInput): Promise<DumpResult | PlannedDump> {
  const { source } = input;
  const run: DumpRun = new Run(RESTORE_DUMP, input, source.kind === 'file' ? source.path : source.url);
  const ways: RestoreDumpStep[] = input.promote === true ? ['approve-hand-over', 'hand-over'] : ['promote'];
  for (const step of ways) leaveOut(run, step);
  const kept: { sandbox: Kept | null } = { sandbox: null };
  return conductRun(
    run,
    input,
    async () => {
      const planned = await check(run, input);
      if (input.planOnly === true) return { outcome: 'planned', plan: planned.plan };
      const restored = await restore(run, input, planned);
      if (input.promote === true) return promoteIt(run, input, planned, restored, kept);
      return finish(run, input, planned, restored);
    },
    // A sandbox whose promotion began is not dropped by an abort: it is kept for its time, for a second try.
    async () => {
      if (kept.sandbox !== null) await keepSandbox(kept.sandbox.ref, kept.sandbox.expiresAt, input.requestedBy);
    },
  );
}

/** What an abort keeps once the promotion began. */
type Kept = { ref: SandboxRef; expiresAt: string };

async function promoteIt(
  run: DumpRun,
  input: RestoreDumpInput,
  planned: Planned,
  restored: Restored,
  kept: { sandbox: Kept | null },
): Promise<DumpResult> {
  const { facts, plan, ref } = planned;
  const ttlMs = (input.ttlSeconds ?? facts.sandboxTtlSeconds) * 1000;
  const {
    run: byRun,
    runId,
    result,
  } = await run.step('promote', () =>
    startDumpPromotion(run, input, { ref, plan }, () => {
      // From here on putting production back is the child's business, and the sandbox may be production already.
      run.undo.forget('discard-sandbox');
      kept.sandbox = { ref, expiresAt: new Date(Date.now() + ttlMs).toISOString() };
    }),
  );
  Object.assign(run.view.measured, result.measured);
  if (run.view.sandbox !== null) run.view.sandbox.state = 'promoted';
  const end = { outcome: 'promoted' as const, expiresAt: '', commands: [`pgr undo ${byRun}`] };
  return { ...resultOf(run, planned, restored, end), promotion: { run: byRun, runId } };
}

async function check(run: DumpRun, input: RestoreDumpInput): Promise<Planned> {
  const { environment, source, globals, jobs, locale, quick } = input;
  const { workflowId, runId } = workflowInfo();
  const { facts, plan } = await run.step(
    'check-dump',
    async () => {
      const facts = await orchestrator.readEnvironment({ environment });
      const host = input.host ?? facts.sandboxHost;
      const asked = { environment, host, source, globals, jobs, locale, quick, requestedAt: nowIso() };
      return { facts, plan: await onHost(host).planDump(asked) };
    },
    { refusals: REFUSALS },
  );
  run.setPlan(dumpPlanView(plan), plan);
  return { facts, plan, ref: { environment, run: workflowId, runId, sandbox: slugFor(runId), host: plan.host } };
}

async function restore(run: DumpRun, input: RestoreDumpInput, { plan, ref }: Planned): Promise<Restored> {
  const host = onHost(plan.host);
  const sandbox = await run.step('prepare-cluster', () => host.prepareDumpSandbox({ ref, plan }), {
    undo: { step: 'discard-sandbox', title: 'Discard the sandbox', work: () => host.discardSandbox({ ref }) },
  });
  const { port, url } = sandbox;
  run.view.sandbox = { host: ref.host, port, url, state: 'prepared', expiresAt: null };
  const restored = await run.step('restore-dump', () => host.restoreDump({ ref, plan }));
  run.view.measured.restoreSeconds = restored.seconds;
  run.view.sandbox.state = 'restored';
  const verified = await run.step('verify-dump', async () => {
    const result = await host.verifyDump({ ref, plan });
    run.view.evidence = result.checks;
    if (input.handOver || input.promote === true) requireGood(run, result);
    return result;
  });
  run.view.measured.rtoSeconds = secondsSince(run.view.startedAt, nowIso());
  if (plan.lost.seconds !== null) run.view.measured.rpoSeconds = plan.lost.seconds;
  return { sandbox, verified };
}

async function finish(
  run: DumpRun,
  input: RestoreDumpInput,
  planned: Planned,
  { sandbox, verified: first }: Restored,
): Promise<DumpResult> {
  const { facts, plan, ref } = planned;
  let verified = first;
  const keep = async (): Promise<DumpResult> => {
    const ttlMs = (input.ttlSeconds ?? facts.sandboxTtlSeconds) * 1000;
    const expiresAt = new Date(Date.now() + ttlMs).toISOString();
    await keepSandbox(ref, expiresAt, input.requestedBy);
    if (run.view.sandbox !== null) run.view.sandbox.expiresAt = expiresAt;
    return resultOf(
      run,
      planned,
      { sandbox, verified },
      { outcome: 'kept', expiresAt, commands: keptCommands(plan, sandbox.url, run.view.run) },
    );
  };
  if (!input.handOver) return keep();
  const decision = await run.step('approve-hand-over', async (attempt) => {
    // A gate that is opened again must show what is true now, not what was true yesterday.
    if (attempt > 1) {
      verified = await onHost(plan.host).verifyDump({ ref, plan });
      run.view.evidence = verified.checks;
      requireGood(run, verified);
    }
    const policy = policyFor(facts, 'hand-over');
    return run.openGate('approve-hand-over', {
      gate: 'hand-over',
      planHash: plan.hash,
      evidence: verified.checks,
      policy,
    });
  });
  if (decision === 'rejected') {
    throw rejected('gate hand-over was rejected; the sandbox is kept', await keep());
  }
  const handed = await run.step('hand-over', () => onHost(plan.host).handOverSandbox({ ref, plan }));
  // From here on it is a person's: an abort must not drop it.
  run.undo.forget('discard-sandbox');
  if (run.view.sandbox !== null) run.view.sandbox.state = 'handed-over';
  const { commands } = handed;
  return resultOf(run, planned, { sandbox, verified }, { outcome: 'handed-over', expiresAt: '', commands });
}

function resultOf(
  run: DumpRun,
  { plan, ref }: Planned,
  { sandbox, verified }: Restored,
  end: Pick<DumpResult, 'outcome' | 'commands'> & { expiresAt: string },
): DumpResult {
  const { restoreSeconds = 0, rtoSeconds = 0, rpoSeconds = 0 } = run.view.measured;
  const { dir, dataDir, port, url } = sandbox;
  run.view.next = end.commands;
  return {
    outcome: end.outcome,
    ref,
    plan,
    sandbox: { dir, dataDir, port, url, expiresAt: end.expiresAt },
    evidence: verified.checks,
    counts: verified.counts,
    measured: { restoreSeconds, rtoSeconds, rpoSeconds },
    commands: end.commands,
  };
}
