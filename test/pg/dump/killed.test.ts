/**
 * Scenario: the worker, or the job of a restore, is killed with SIGKILL.
 * Verified: 1 a restore that runs goes on without its worker and is not begun again; 2 a cluster that was restored half is never gone on with;
 * 3 the next attempt ends in the same state.
 */
import { execa } from 'execa';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import {
  createHandOverSandbox,
  createPlanDump,
  createPrepareDumpSandbox,
  createRestoreDump,
  createVerifyDump,
} from '../../../activities/postgres/dump/index.js';
import { pathExists } from '../../../activities/postgres/data-directory.js';
import { dumpPlaceOf } from '../../../activities/postgres/dump/dump-place.js';
import { placeOf } from '../../../activities/postgres/sandbox/place.js';
import type { DumpPlan } from '../../../shared/contracts/dump.js';
import type { SandboxRef } from '../../../shared/contracts/sandbox.js';
import { bundleFile } from '../../support/bundle.js';
import { makeScene, type Scene } from './support.js';

jest.setTimeout(120_000);

let scene: Scene;
let program = '';
let plan: DumpPlan;

beforeAll(async () => {
  scene = await makeScene();
  plan = await createPlanDump(scene.deps)(scene.planInput(scene.dumps['custom'] ?? ''));
  program = path.join(scene.dir, 'run-activity.cjs');
  await bundleFile('test/pg/dump/run-activity.ts', program);
});
afterEach(async () => {
  delete process.env['PGR_FAULT'];
  delete process.env['PGR_FAULT_FLAG'];
  await scene.clean();
});
afterAll(async () => scene.destroy());

/** Runs an activity in a process of its own, which dies at the fault point. */
async function killedAt(fault: string, name: string, ref: SandboxRef): Promise<void> {
  const file = path.join(scene.dir, 'request.json');
  const flag = path.join(scene.dir, `flag-${ref.sandbox}-${fault.replace(/\W/g, '-')}`);
  await writeFile(file, JSON.stringify({ dir: scene.dir, config: scene.config, input: { ref, plan } }));
  await rm(flag, { force: true });
  const ended = await execa(process.execPath, [program, name, file], {
    reject: false,
    env: { PGR_FAULT: fault, PGR_FAULT_FLAG: flag },
  });
  expect({ signal: ended.signal, stderr: ended.stderr }).toEqual({ signal: 'SIGKILL', stderr: '' });
}

/** The job dies there, once. */
function jobDiesAt(fault: string): void {
  process.env['PGR_FAULT'] = fault;
  process.env['PGR_FAULT_FLAG'] = path.join(scene.dir, `flag-job-${fault.replace(/\W/g, '-')}`);
}

async function requireWhole(ref: SandboxRef): Promise<void> {
  const { ok, checks } = await createVerifyDump(scene.deps)({ ref, plan });
  expect(checks.filter((check) => !check.ok)).toEqual([]);
  expect(ok).toBe(true);
}

test.each(['dump-cluster:before-rename', 'sandbox-made-before-marker'])(
  'killed at %s while the cluster is made, the next attempt makes it',
  async (fault) => {
    const ref = scene.sandbox(fault.split(':')[0] ?? '');
    await killedAt(fault, 'prepareDumpSandbox', ref);
    const made = await createPrepareDumpSandbox(scene.deps)({ ref, plan });
    expect(await createPrepareDumpSandbox(scene.deps)({ ref, plan })).toEqual(made);
    const restored = await createRestoreDump(scene.deps)({ ref, plan });
    expect(restored).toMatchObject({ outcome: 'restored', attempt: 1 });
  },
);

test.each(['restore-dump:before-job', 'restore-dump:job-running'])(
  'killed at %s, the worker leaves a restore that the next attempt attaches to',
  async (fault) => {
    const ref = scene.sandbox(fault.replace(/\W/g, '-'));
    await createPrepareDumpSandbox(scene.deps)({ ref, plan });
    await killedAt(fault, 'restoreDump', ref);
    expect(await createRestoreDump(scene.deps)({ ref, plan })).toMatchObject({ attempt: 1 });
    await requireWhole(ref);
  },
);

test.each(['restore-dump:half', 'restore-dump:before-mark'])(
  'a job killed at %s is followed by a new cluster, not by the half-restored one',
  async (fault) => {
    const ref = scene.sandbox(fault.replace(/\W/g, '-'));
    const first = await createPrepareDumpSandbox(scene.deps)({ ref, plan });
    jobDiesAt(fault);
    const restored = await createRestoreDump(scene.deps)({ ref, plan });
    expect(restored).toMatchObject({ outcome: 'restored', attempt: 2, errorCount: 0 });
    await requireWhole(ref);
    const now = await createPrepareDumpSandbox(scene.deps)({ ref, plan });
    expect(now.systemIdentifier).not.toBe(first.systemIdentifier);
  },
);

test('a job killed before its mark is not taken for whole by anybody', async () => {
  const ref = scene.sandbox('no-mark');
  await createPrepareDumpSandbox(scene.deps)({ ref, plan });
  await killedAt('restore-dump:before-job', 'restoreDump', ref);
  expect(await pathExists(dumpPlaceOf(placeOf(scene.config, ref)).restored)).toBe(false);
  await expect(createVerifyDump(scene.deps)({ ref, plan })).rejects.toMatchObject({ type: 'PreconditionFailed' });
  await expect(createHandOverSandbox(scene.deps)({ ref, plan })).rejects.toMatchObject({ type: 'SandboxTainted' });
});

test.each(['hand-over:stopped', 'hand-over:flushed'])(
  'killed at %s, the cluster is handed over once',
  async (fault) => {
    const ref = scene.sandbox(fault.replace(/\W/g, '-'));
    await createPrepareDumpSandbox(scene.deps)({ ref, plan });
    await createRestoreDump(scene.deps)({ ref, plan });
    await killedAt(fault, 'handOverSandbox', ref);
    expect(await createHandOverSandbox(scene.deps)({ ref, plan })).toMatchObject({
      outcome: 'handed-over',
      clusterState: 'shut down',
    });
  },
);
