/** A developer's database is made anew from a recent dump, beside the one in use, and swapped in when it is complete. No environment is touched. */
import { workflowInfo } from '@temporalio/workflow';

import type {
  DevPhase,
  DevPhaseResult,
  DevPlan,
  DevResult,
  FetchDevDumpResult,
  PlannedDev,
  PrepareDevTargetResult,
} from '../shared/contracts/dev.js';
import type { EvidenceCheck } from '../shared/contracts/sandbox.js';
import type { RestoreDevInput } from '../shared/contracts/runs.js';
import type { FailureType } from '../shared/failures.js';
import { shellWord } from '../shared/dump-commands.js';
import { RESTORE_DEV, type RestoreDevStep } from '../shared/runbooks/restore-dev.js';
import { devPlanView } from '../shared/run-state-dev.js';
import { onHost } from './lib/activity-proxies.js';
import { nowIso, secondsSince } from './lib/clock.js';
import { conductRun } from './lib/conduct-run.js';
import { Run } from './lib/run.js';

type DevRun = Run<RestoreDevStep>;
type Ready = { plan: DevPlan; fetched: FetchDevDumpResult; server: PrepareDevTargetResult };

/** Nothing was touched, and the same call can only be refused again. */
const REFUSALS: readonly FailureType[] = [
  ...([
    'BadUsage',
    'ConfigInvalid',
    'EnvironmentUnknown',
    'NotFound',
    'CredentialsRefused',
    'IdentityMismatch',
  ] as const),
  ...(['NotAllowed', 'PreconditionFailed', 'SpaceMissing', 'BackupCorrupt'] as const),
];

export async function restoreDev(input: RestoreDevInput): Promise<DevResult | PlannedDev> {
  const run: DevRun = new Run(RESTORE_DEV, input, input.into);
  return conductRun(run, input, async () => {
    const plan = await check(run, input);
    if (input.planOnly === true) return { outcome: 'planned', plan };
    const ready = await prepare(run, input, plan);
    const phase = phasesOf(input, ready);
    const results = input.mode === 'deferred' ? await bringDeferred(run, phase) : await makeAnew(run, input, phase);
    return resultOf(run, ready, results);
  });
}

async function check(run: DevRun, input: RestoreDevInput): Promise<DevPlan> {
  const { environment, host, mode, source, into, password } = input;
  const plan = await run.step(
    'check-target',
    () => onHost(host).planDevRestore({ environment, host, mode, source, into, password, requestedAt: nowIso() }),
    { refusals: REFUSALS },
  );
  run.setPlan(devPlanView(plan), plan);
  return plan;
}

async function prepare(run: DevRun, { host }: RestoreDevInput, plan: DevPlan): Promise<Ready> {
  const { workflowId, runId } = workflowInfo();
  const here = onHost(host);
  const asked = { plan, run: workflowId, runId };
  const fetched = await run.step('fetch-dump', () => here.fetchDevDump(asked), { refusals: ['BackupCorrupt'] });
  const server = await run.step('prepare-target', () => here.prepareDevTarget(asked), {
    refusals: ['IdentityMismatch'],
  });
  return { plan, fetched, server };
}

type RunPhase = (phase: DevPhase) => Promise<DevPhaseResult>;

function phasesOf({ host }: RestoreDevInput, { plan, fetched, server }: Ready): RunPhase {
  const { workflowId, runId } = workflowInfo();
  const { systemIdentifier } = server;
  return (phase) =>
    onHost(host).runDevPhase({ plan, run: workflowId, runId, phase, file: fetched.file, systemIdentifier });
}

async function makeAnew(run: DevRun, { mode }: RestoreDevInput, phase: RunPhase): Promise<DevPhaseResult[]> {
  const schema = await run.step('restore-schema', () => phase('schema'), { refusals: ['IdentityMismatch'] });
  const loaded = await loadTables(run, () => phase('load'), phase);
  const finished = await finishDatabase(run, () => phase('finish'));
  await run.step('swap-in', () => phase('swap'));
  noteUsable(run);
  if (mode === 'full') return [schema, loaded, finished];
  return [schema, loaded, finished, await run.step('prove-keys', () => phase('prove'))];
}

/** The time that counts: from the request until a developer can work. */
function noteUsable(run: DevRun): void {
  run.view.measured.restoreSeconds = secondsSince(run.view.startedAt, nowIso());
  run.publish();
}

async function bringDeferred(run: DevRun, phase: RunPhase): Promise<DevPhaseResult[]> {
  const loaded = await loadTables(run, () => phase('load-deferred'), phase);
  return [loaded, await finishDatabase(run, () => phase('finish-deferred'))];
}

/** An abort puts the settings of the server back at once; a kill leaves that to whoever comes next. */
function loadTables(run: DevRun, work: () => Promise<DevPhaseResult>, phase: RunPhase): Promise<DevPhaseResult> {
  return run.step('load-tables', work, {
    undo: { step: 'put-back-settings', title: 'Put the settings of the server back', work: () => phase('put-back') },
  });
}

async function finishDatabase(run: DevRun, work: () => Promise<DevPhaseResult>): Promise<DevPhaseResult> {
  run.undo.forget('put-back-settings');
  return run.step('finish-database', work);
}

/** What a developer should know: shown with the run. */
function evidenceOf(
  results: readonly DevPhaseResult[],
  usableSeconds: number,
  deferred: readonly string[],
  problems: readonly string[],
): EvidenceCheck[] {
  const tables = results.reduce((sum, result) => sum + result.tables, 0);
  const notes = results.flatMap((result) => result.notes);
  return [
    {
      check: 'usable',
      expected: 'yes',
      actual: `after ${usableSeconds.toFixed(1)} s, ${String(tables)} tables loaded`,
      ok: true,
    },
    ...(deferred.length === 0
      ? []
      : [{ check: 'rows that come with --deferred', expected: '-', actual: deferred.join(', '), ok: true }]),
    ...notes.map((actual) => ({ check: 'note', expected: '-', actual, ok: true })),
    ...problems.map((actual) => ({ check: 'statement of the dump', expected: 'accepted', actual, ok: false })),
  ];
}

function resultOf(run: DevRun, { plan, server }: Ready, results: DevPhaseResult[]): DevResult {
  if (run.view.measured.restoreSeconds === undefined) noteUsable(run);
  const { restoreSeconds: usableSeconds = 0 } = run.view.measured;
  const deferred = results.flatMap((result) => result.deferred);
  const commands = [
    `psql ${shellWord(server.url)}`,
    ...(deferred.length === 0 ? [] : [`pgr restore-dev ${plan.environment} --deferred`]),
  ];
  run.view.next = commands;
  const problems = results.at(-1)?.problems ?? [];
  run.view.evidence = evidenceOf(results, usableSeconds, deferred, problems);
  const { database } = plan.target;
  return {
    outcome: 'usable',
    mode: plan.mode,
    plan,
    url: server.url,
    previous: plan.mode === 'deferred' || plan.replaces === null ? null : `${database}__pgr_previous`,
    usableSeconds,
    bytes: results.reduce((sum, { bytes }) => sum + bytes, 0),
    tables: results.reduce((sum, { tables }) => sum + tables, 0),
    deferred,
    problems,
    notes: results.flatMap(({ notes }) => notes),
    commands,
  };
}
