/**
 * Scenario: a restored dump becomes production, from its check to the report, with stub activities on a dev server.
 * Verified: 1 nothing changes before the approval, whose plan and evidence name what is lost and the new identity; 2 the order of the steps and the exact
 * identity each of them expects; 3 an abort puts everything back in reverse and marks no timeline; 4 a refusal changes nothing and can be tried again;
 * 5 a standby that is left behind is told; 6 `restore-dump --promote` starts it as a child; 7 the undo expects the new cluster and marks no timeline.
 */
import { stepFailure } from '../../activities/lib/failure.js';
import type { DumpResult } from '../../shared/contracts/dump.js';
import type { NodeStepInput, PromotionResult } from '../../shared/contracts/promotion.js';
import type { PromoteDumpInput, RestoreDumpInput, UndoInput } from '../../shared/contracts/runs.js';
import { dumpPlan, dumpPromotionPlan, NEW_SYSTEM } from '../support/stub-dump.js';
import type { ActivityName, Scenario } from '../support/stub-activities.js';
import {
  command,
  createWorkflowEnv,
  decide,
  failureOf,
  saveHistory,
  until,
  untilStatus,
  viewOf,
  type WorkflowEnv,
} from '../support/workflow-env.js';
import { SYSTEM_IDENTIFIER } from '../support/workflow-fixtures.js';

jest.setTimeout(60_000);

let env: WorkflowEnv;
beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});

const SOURCE = { kind: 'file', path: '/backups/shop.dump' } as const;
const CHECK: ActivityName[] = ['readEnvironment', 'planDumpPromotion', 'verifyDump'];
const CHANGE: ActivityName[] = [
  'stopApp',
  'pauseBackups',
  'fenceNode',
  'fenceNode',
  'keepOldData',
  'swapInDump',
  'startNode',
  'verifyWrites',
  'startApp',
  'resumeBackups',
  'rebaseline',
  'rebuildStandby',
  'finishPromotion',
];

const request = (environment: string) => ({
  environment,
  requestedBy: 'ana',
  reason: 'everything is gone',
  requestedAt: new Date().toISOString(),
});

const refOf = ({ environment, hosts }: Scenario) => {
  return { environment, run: `${environment}/restore-dump/1`, runId: 'run-1', sandbox: 'run-1', host: hosts.primary };
};

function inputOf(scenario: Scenario): PromoteDumpInput {
  const { environment, hosts } = scenario;
  const asked = { source: SOURCE, globals: null, jobs: null, locale: null, quick: false };
  const dump = dumpPlan({ environment, host: hosts.primary, ...asked });
  return { ...request(environment), fromRun: `${environment}/restore-dump/1`, ref: refOf(scenario), dump };
}

const start = (scenario: Scenario) => env.start('promoteDump', `${scenario.environment}/change`, inputOf(scenario));

const expectOf = (scenario: Scenario, activity: ActivityName) =>
  scenario.inputsOf(activity).map((input) => {
    const { node, expect: wanted } = input as NodeStepInput;
    return [node, wanted.systemIdentifier, wanted.replacement];
  });

test('asks with what is lost, changes in order, and each step names the cluster that it must find', async () => {
  const scenario = env.scenario();
  const handle = await start(scenario);
  const waiting = await untilStatus(handle, 'waiting-approval');
  expect(scenario.names()).toEqual(CHECK);
  expect(waiting.gate).toMatchObject({ name: 'promote' });
  const evidence = waiting.gate?.evidence ?? [];
  expect(evidence.find(({ check }) => check === 'given-up')?.actual).toContain('2026-11-21T02:00:00Z');
  const summary = waiting.plan?.summary.join('\n') ?? '';
  expect(summary).toContain('LOST: everything committed after 2026-11-21T02:00:00Z');
  expect(summary).toContain(`new identity: system ${NEW_SYSTEM} on timeline 1 takes the place of ${SYSTEM_IDENTIFIER}`);
  expect(summary).toContain('rebuild standby chicago');
  expect(summary).toContain('archive: empty');

  await decide(handle, 'approve', 'ben');
  const result = (await handle.result()) as PromotionResult;
  expect(result).toMatchObject({
    outcome: 'promoted',
    recovery: null,
    timeline: 1,
    rebuilt: ['chicago'],
    leftBehind: [],
  });
  expect(result.lost).toMatchObject({ seconds: 6_149, until: '2026-11-21T03:42:29Z' });
  expect(scenario.names().slice(CHECK.length)).toEqual(CHANGE);
  const both = [SYSTEM_IDENTIFIER, NEW_SYSTEM];
  expect(expectOf(scenario, 'fenceNode')).toEqual([
    ['dallas', ...both],
    ['chicago', ...both],
  ]);
  expect(expectOf(scenario, 'keepOldData')).toEqual([['dallas', ...both]]);
  expect(expectOf(scenario, 'swapInDump')).toEqual([['dallas', ...both]]);
  expect(expectOf(scenario, 'startNode')).toEqual([['dallas', NEW_SYSTEM, undefined]]);
  expect(expectOf(scenario, 'rebaseline')).toEqual([['dallas', NEW_SYSTEM, undefined]]);
  expect(expectOf(scenario, 'rebuildStandby')).toEqual([['chicago', ...both]]);
  expect(scenario.inputsOf('verifyWrites')).toMatchObject([{ expectNode: 'dallas', expectTimeline: 1 }]);
  await saveHistory(handle, 'dump-promotion.approved');
});

test('an abort puts the old cluster back in reverse and marks no timeline', async () => {
  const scenario = env.scenario().fail('verifyWrites', stepFailure('PreconditionFailed', 'writes do not arrive'), 99);
  const handle = await start(scenario);
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'needs-attention');
  const before = scenario.names().length;
  await command(handle, 'abort');
  expect(await failureOf(handle)).toMatchObject({ type: 'RunAborted' });
  // The old primary was down before and stays down.
  expect(scenario.names().slice(before)).toEqual([
    'fenceNode',
    'swapOut',
    'returnOldData',
    'startNode',
    'resumeBackups',
    'startApp',
  ]);
  expect(expectOf(scenario, 'startNode').at(-1)).toEqual(['chicago', SYSTEM_IDENTIFIER, NEW_SYSTEM]);
});

test('an archive of another cluster changes nothing; after the edit it is tried again', async () => {
  const scenario = env.scenario();
  const refusal = stepFailure('PreconditionFailed', 'the archive is that of system 1', { hint: 'prefix: shop-2' });
  scenario.fail('planDumpPromotion', refusal);
  const handle = await start(scenario);
  const parked = await untilStatus(handle, 'needs-attention');
  expect(parked.failure).toMatchObject({ step: 'check-promotion', code: 'PreconditionFailed', hint: 'prefix: shop-2' });
  expect(scenario.names()).toEqual(CHECK.slice(0, 2));
  await command(handle, 'retry');
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'reject', 'ben');
  expect(await failureOf(handle)).toMatchObject({ type: 'RunRejected' });
  expect(scenario.names().some((name) => CHANGE.includes(name))).toBe(false);
});

test('a standby that could not be made anew is told as left behind', async () => {
  const scenario = env.scenario().fail('rebuildStandby', stepFailure('CommandFailed', 'no space'), 99);
  const handle = await start(scenario);
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  await untilStatus(handle, 'needs-attention');
  await command(handle, 'skip');
  expect(await handle.result()).toMatchObject({ outcome: 'promoted', rebuilt: [], leftBehind: ['chicago'] });
  const view = await viewOf(handle);
  expect(view.next).toEqual([
    'mv /srv/chicago/data /srv/chicago/data.old-cluster',
    `pgr rebuild-standby ${scenario.environment} chicago --method full`,
  ]);
});

test('restore-dump --promote goes on with it under the lock of the environment; no gate of its own', async () => {
  const scenario = env.scenario();
  const { environment } = scenario;
  const input: RestoreDumpInput = {
    ...request(environment),
    source: SOURCE,
    globals: null,
    jobs: null,
    locale: null,
    quick: false,
    handOver: false,
    promote: true,
  };
  const parent = await env.start('restoreDump', `${environment}/restore-dump/1`, input);
  const child = env.env.client.workflow.getHandle(`${environment}/change`);
  await until(parent, (view) => view.child !== null);
  await untilStatus(child, 'waiting-approval');
  await decide(child, 'approve', 'ben');
  const result = (await parent.result()) as DumpResult;
  expect(result).toMatchObject({ outcome: 'promoted', promotion: { run: `${environment}/change` } });
  expect(result.commands).toEqual([`pgr undo ${environment}/change`]);
  expect((await viewOf(parent)).steps.map(({ id }) => id)).toEqual([
    'check-dump',
    'prepare-cluster',
    'restore-dump',
    'verify-dump',
    'promote',
  ]);
  expect(scenario.names()).not.toContain('discardSandbox');
  await saveHistory(parent, 'restore-dump.promoted');
});

test('the undo of it finds the new cluster, brings the old one back, and marks no timeline', async () => {
  const scenario = env.scenario();
  const { environment, hosts } = scenario;
  const plan = dumpPromotionPlan(environment, refOf(scenario), hosts, 'promote-run-id');
  const { dump } = inputOf(scenario);
  const promotion: PromotionResult = {
    outcome: 'promoted',
    run: `${environment}/change`,
    runId: 'promote-run-id',
    environment,
    plan,
    recovery: null,
    dump,
    timeline: 1,
    rebuilt: [],
    leftBehind: ['chicago'],
    measured: { writeOutageMs: 1, rtoSeconds: 1, rpoSeconds: 1 },
    lost: { until: null, seconds: 0, commits: 0, exact: false },
  };
  scenario.on('planUndo', async (_input, usual) => ({
    ...(await usual()),
    primary: plan.primary,
    standbys: plan.standbys,
  }));
  const input: UndoInput = { ...request(environment), ofRun: `${environment}/change`, promotion };
  const handle = await env.start('undo', `${environment}/change`, input);
  await untilStatus(handle, 'waiting-approval');
  await decide(handle, 'approve', 'ben');
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'undone' });
  expect(scenario.names()).not.toContain('abandonTimeline');
  expect(expectOf(scenario, 'swapOut')[0]).toEqual(['dallas', SYSTEM_IDENTIFIER, NEW_SYSTEM]);
  expect(expectOf(scenario, 'startNode')[0]).toEqual(['dallas', SYSTEM_IDENTIFIER, NEW_SYSTEM]);
  await saveHistory(handle, 'undo.of-a-dump');
});
