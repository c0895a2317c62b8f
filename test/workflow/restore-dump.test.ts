/**
 * Scenario: the restore of a dump from the plan to the end, with stub activities on a dev server.
 * Verified: 1 a plan makes nothing; 2 without --hand-over the sandbox is kept, with it nothing is handed over before the approval; 3 evidence that does not
 * hold never reaches the gate; 4 an abort drops what was made, but never what was handed over; 5 no step touches production.
 */
import type { DumpResult, PlannedDump } from '../../shared/contracts/dump.js';
import type { RestoreDumpInput } from '../../shared/contracts/runs.js';
import { verifyEntries } from '../../shared/record-chain.js';
import { sandboxKeeperIdFor } from '../../shared/ids.js';
import { stepFailure } from '../../activities/lib/failure.js';
import { HAND_OVER_COMMANDS } from '../support/stub-dump.js';
import {
  command,
  createWorkflowEnv,
  decide,
  failureOf,
  saveHistory,
  untilStatus,
  viewOf,
  type WorkflowEnv,
} from '../support/workflow-env.js';
import { GOOD_EVIDENCE } from '../support/workflow-fixtures.js';

jest.setTimeout(60_000);

let env: WorkflowEnv;
beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});

const RESTORE = ['readEnvironment', 'planDump', 'prepareDumpSandbox', 'restoreDump', 'verifyDump'];

function inputOf(environment: string, more: Partial<RestoreDumpInput> = {}): RestoreDumpInput {
  return {
    environment,
    requestedBy: 'ana',
    reason: 'everything is gone',
    requestedAt: new Date().toISOString(),
    source: { kind: 'file', path: '/backups/shop.dump' },
    globals: null,
    jobs: null,
    locale: null,
    quick: false,
    handOver: true,
    ...more,
  };
}

const keeperOf = (environment: string, runId: string) =>
  env.env.client.workflow.getHandle(sandboxKeeperIdFor(environment, runId));

test('restores, waits, hands over only after the approval, and says what a person does next', async () => {
  const scenario = env.scenario();
  const { environment, hosts } = scenario;
  const id = `${environment}/restore-dump/1`;
  const handle = await env.start('restoreDump', id, inputOf(environment));
  const waiting = await untilStatus(handle, 'waiting-approval');
  expect(scenario.names()).toEqual(RESTORE);
  expect(waiting.gate).toMatchObject({ name: 'hand-over', evidence: GOOD_EVIDENCE });
  expect(waiting.sandbox).toMatchObject({ port: 15_400, state: 'restored' });
  expect(waiting.plan?.summary.join('\n')).toContain('LOST: everything committed after 2026-11-21T02:00:00Z');
  expect(waiting.measured).toMatchObject({ restoreSeconds: 5, rpoSeconds: 6_149 });

  await decide(handle, 'approve', 'ben');
  const result = (await handle.result()) as DumpResult;
  expect(result).toMatchObject({ outcome: 'handed-over', commands: HAND_OVER_COMMANDS });
  expect(scenario.names().slice(RESTORE.length)).toEqual(['handOverSandbox']);
  const { runId } = await handle.describe();
  const ref = { environment, run: id, runId, sandbox: runId, host: hosts.primary };
  for (const activity of ['prepareDumpSandbox', 'restoreDump', 'verifyDump', 'handOverSandbox'] as const) {
    expect(scenario.inputsOf(activity)).toEqual([{ ref, plan: result.plan }]);
  }
  const view = await viewOf(handle);
  expect(view).toMatchObject({ status: 'completed', next: HAND_OVER_COMMANDS, sandbox: { state: 'handed-over' } });
  const last = scenario.record.at(-1);
  expect(verifyEntries(scenario.record, { seq: last?.seq ?? 0, hash: last?.hash ?? '' })).toEqual([]);
  await saveHistory(handle, 'restore-dump.handed-over');
});

test('a plan makes nothing', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  const input = inputOf(environment, { planOnly: true, host: scenario.hosts.standby, quick: true });
  const handle = await env.start('restoreDump', `${environment}/restore-dump/plan`, input);
  expect((await handle.result()) as PlannedDump).toMatchObject({
    outcome: 'planned',
    plan: { host: scenario.hosts.standby },
  });
  expect(scenario.names()).toEqual(['readEnvironment', 'planDump']);
  expect(scenario.inputsOf('planDump')[0]).toMatchObject({ quick: true, source: { path: '/backups/shop.dump' } });
  await saveHistory(handle, 'restore-dump.planned');
});

test('without --hand-over the sandbox is kept for its time; evidence that does not hold is shown', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  const bad = { check: 'restore-errors', expected: 'none', actual: '2 errors: x', ok: false };
  scenario.on('verifyDump', () => Promise.resolve({ ok: false, checks: [bad], counts: [], seconds: 1 }));
  const handle = await env.start(
    'restoreDump',
    `${environment}/restore-dump/1`,
    inputOf(environment, { handOver: false }),
  );
  const result = (await handle.result()) as DumpResult;
  expect(result).toMatchObject({ outcome: 'kept', evidence: [bad] });
  expect(result.commands.join('\n')).toContain('--hand-over');
  expect(scenario.names()).toEqual(RESTORE);
  const { runId } = await handle.describe();
  const keeper = keeperOf(environment, runId);
  expect((await keeper.describe()).status.name).toBe('RUNNING');
  await command(keeper, 'discard');
  await keeper.result();
  expect(scenario.names().at(-1)).toBe('discardSandbox');
  await saveHistory(handle, 'restore-dump.kept');
});

test('evidence that does not hold never reaches the gate; an abort drops the sandbox', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  const bad = { check: 'rows-of-dump', expected: '7 rows', actual: 'public.orders has 6 of 7', ok: false };
  scenario.on('verifyDump', () => Promise.resolve({ ok: false, checks: [bad], counts: [], seconds: 1 }));
  const handle = await env.start('restoreDump', `${environment}/restore-dump/1`, inputOf(environment));
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure).toMatchObject({ step: 'verify-dump', code: 'EvidenceFailed' });
  expect(parked.failure?.message).toContain('public.orders has 6 of 7');
  await command(handle, 'abort');
  expect(await failureOf(handle)).toMatchObject({ type: 'RunAborted' });
  expect(scenario.names().at(-1)).toBe('discardSandbox');
});

test('a rejected gate keeps the sandbox and hands nothing over', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  const handle = await env.start('restoreDump', `${environment}/restore-dump/1`, inputOf(environment));
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'reject', 'ben');
  expect(await failureOf(handle)).toMatchObject({ type: 'RunRejected' });
  expect(scenario.names()).toEqual(RESTORE);
  const { runId } = await handle.describe();
  const keeper = keeperOf(environment, runId);
  await command(keeper, 'discard');
  await keeper.result();
});

test.each([
  ['BackupCorrupt', '/backups/shop.dump is damaged or cut off'],
  ['PreconditionFailed', 'the dump needs extensions that are not installed here: postgis'],
] as const)('a dump that is refused (%s) ends the run, with nothing made', async (type, message) => {
  const scenario = env.scenario();
  const { environment } = scenario;
  scenario.fail('planDump', stepFailure(type, message));
  const handle = await env.start('restoreDump', `${environment}/restore-dump/1`, inputOf(environment));
  expect(await failureOf(handle)).toMatchObject({ type, message });
  expect(scenario.names()).toEqual(['readEnvironment', 'planDump']);
});

test('a restore that failed is tried again after a person says so', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  scenario.fail('restoreDump', stepFailure('CommandFailed', 'psql ended with exit code 3: no space left on device'));
  const handle = await env.start(
    'restoreDump',
    `${environment}/restore-dump/1`,
    inputOf(environment, { handOver: false }),
  );
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure).toMatchObject({ step: 'restore-dump', choices: ['retry', 'abort'] });
  await command(handle, 'retry');
  expect((await handle.result()) as DumpResult).toMatchObject({ outcome: 'kept' });
  expect(scenario.names().filter((name) => name === 'restoreDump')).toHaveLength(2);
});

test('an abort while it is handed over leaves it to a person where the host says that it is one', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  scenario.on('handOverSandbox', () => Promise.reject(stepFailure('CommandFailed', 'the reply was lost')));
  scenario.on('discardSandbox', () => Promise.reject(stepFailure('PreconditionFailed', 'the cluster was handed over')));
  const handle = await env.start('restoreDump', `${environment}/restore-dump/1`, inputOf(environment));
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'needs-attention');
  await command(handle, 'abort');
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure?.step).toMatch(/hand-over|discard-sandbox/);
  for (let skipped = false; !skipped;) skipped = (await command(handle, 'skip')).accepted;
  expect((await failureOf(handle)).message).toContain('not put back: discard-sandbox');
});
