/**
 * Scenario: safety copies are listed and pruned.
 * Verified: 1 a host that does not answer is named, its copies are not "none"; 2 nothing is removed before the approval, and then only what the
 * plan named, on its own host; 3 the newest verified copy of each node stays.
 */
import { stepFailure } from '../../activities/lib/failure.js';
import type { SafetyCopy } from '../../shared/contracts/rebuild.js';
import type { PruneSnapshotsInput } from '../../shared/contracts/runs.js';
import { safetyCopy } from '../support/flip-fixtures.js';
import type { Scenario } from '../support/stub-activities.js';
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

jest.setTimeout(60_000);

let env: WorkflowEnv;
beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});

const NOW = '2026-11-21T04:00:00.000Z';

function copiesOf({ environment, hosts }: Scenario): SafetyCopy[] {
  const of = (node: string, host: string, day: number, more: Partial<SafetyCopy> = {}): SafetyCopy =>
    safetyCopy(environment, host, `run-${node}-${String(day)}`, {
      node,
      name: `${node}-${String(day)}`,
      createdAt: `2026-11-${String(day).padStart(2, '0')}T00:00:00.000Z`,
      ...more,
    });
  return [
    of('chicago', hosts.standby, 1),
    of('chicago', hosts.standby, 10),
    of('chicago', hosts.standby, 20, { verified: false }),
    of('dallas', hosts.primary, 2),
  ];
}

function scenarioWithCopies(): Scenario {
  const scenario = env.scenario();
  const copies = copiesOf(scenario);
  return scenario.on('listSafetyCopies', ({ node }) =>
    Promise.resolve({ copies: copies.filter((copy) => copy.node === node) }),
  );
}

function pruneInput({ environment }: Scenario, more: Partial<PruneSnapshotsInput> = {}): PruneSnapshotsInput {
  const request = { environment, requestedBy: 'ana', reason: 'space', requestedAt: NOW };
  return { ...request, olderThanSeconds: 7 * 86_400, keep: null, ...more };
}

test('lists the copies of every host, oldest first', async () => {
  const scenario = scenarioWithCopies();
  const handle = await env.start('listSnapshots', `${scenario.environment}/listSnapshots/1`, {
    environment: scenario.environment,
  });
  await expect(handle.result()).resolves.toMatchObject({
    copies: [{ name: 'chicago-1' }, { name: 'dallas-2' }, { name: 'chicago-10' }, { name: 'chicago-20' }],
    unanswered: [],
  });
  await saveHistory(handle, 'list-snapshots.answered');
});

test('a host that does not answer is named, and the others are listed', async () => {
  const scenario = scenarioWithCopies();
  const copies = copiesOf(scenario);
  scenario.on('listSafetyCopies', ({ node }) =>
    node === 'dallas'
      ? Promise.reject(stepFailure('HostUnreachable', 'no answer'))
      : Promise.resolve({ copies: copies.filter((copy) => copy.node === node) }),
  );
  const handle = await env.start('listSnapshots', `${scenario.environment}/listSnapshots/1`, {
    environment: scenario.environment,
  });
  await expect(handle.result()).resolves.toMatchObject({
    copies: [{ name: 'chicago-1' }, { name: 'chicago-10' }, { name: 'chicago-20' }],
    unanswered: [{ node: 'dallas', why: 'HostUnreachable: no answer' }],
  });
});

test('prunes by age after approval, never the newest verified copy of a node nor what is newer', async () => {
  const scenario = scenarioWithCopies();
  const handle = await env.start('pruneSnapshots', `${scenario.environment}/change`, pruneInput(scenario));
  const waiting = await untilStatus(handle, 'waiting-approval');
  expect(waiting.gate).toMatchObject({ name: 'prune' });
  expect(waiting.gate?.evidence).toMatchObject([{ check: 'a verified copy of chicago stays', ok: true }]);
  expect(waiting.plan?.summary.map((line) => line.split(',')[0])).toEqual([
    'remove chicago-1 of chicago',
    'keep chicago-20 of chicago',
    'keep chicago-10 of chicago',
    'keep dallas-2 of dallas',
  ]);
  expect(scenario.names()).not.toContain('pruneSafetyCopies');
  await decide(handle, 'approve', 'ben');
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'pruned', removed: ['chicago-1'] });
  expect(scenario.inputsOf('pruneSafetyCopies')).toEqual([
    {
      environment: scenario.environment,
      host: scenario.hosts.standby,
      names: ['chicago-1'],
      run: `${scenario.environment}/change`,
    },
  ]);
  await saveHistory(handle, 'prune-snapshots.approved');
});

test('nothing to prune needs no approval', async () => {
  const scenario = scenarioWithCopies();
  const handle = await env.start('pruneSnapshots', `${scenario.environment}/change`, pruneInput(scenario, { keep: 9 }));
  await expect(handle.result()).resolves.toMatchObject({ outcome: 'nothing-to-prune', removed: [] });
  expect(scenario.names()).not.toContain('pruneSafetyCopies');
  expect((await viewOf(handle)).steps.map(({ status }) => status)).toEqual(['done', 'skipped', 'skipped']);
});

test('a rejected gate removes nothing; a removal that fails parks and goes on', async () => {
  const scenario = scenarioWithCopies();
  const no = await env.start('pruneSnapshots', `${scenario.environment}/change`, pruneInput(scenario));
  await untilStatus(no, 'waiting-approval');
  await decide(no, 'reject', 'ben');
  await expect(failureOf(no)).resolves.toMatchObject({ type: 'RunRejected' });
  expect(scenario.names()).not.toContain('pruneSafetyCopies');

  scenario.fail('pruneSafetyCopies', stepFailure('CommandFailed', 'dataset is busy'));
  const again = await env.start('pruneSnapshots', `${scenario.environment}/change`, pruneInput(scenario));
  await untilStatus(again, 'waiting-approval');
  await decide(again, 'approve', 'ben');
  expect((await untilStatus(again, 'needs-attention')).failure).toMatchObject({ step: 'remove-copies' });
  await command(again, 'retry');
  await expect(again.result()).resolves.toMatchObject({ outcome: 'pruned', removed: ['chicago-1'] });
});
