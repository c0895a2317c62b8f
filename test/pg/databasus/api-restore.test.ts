/**
 * Scenario: the controller lives, and everything is got through its API. Verified for both majors: the steps of a recovery reach the target of the
 * real backup with the rows that the source had then; where the boundary is known and where not yet; and what a broken stream, a restarted
 * controller and a killed transfer leave.
 */
import type { ActivityDeps } from '../../../activities/lib/deps.js';
import {
  createCombineIncrementals,
  createDiscardSandbox,
  createPrepareSandbox,
  createReplayWal,
  createRestoreBase,
  createVerifySandbox,
} from '../../../activities/postgres/sandbox/index.js';
import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import type { SandboxRef } from '../../../shared/contracts/sandbox.js';
import { normaliseTimestamp } from '../../../shared/target-time.js';
import { P17, startController, type Controller } from '../../support/databasus-controller.js';
import { describeWithBucket } from '../../support/databasus.js';
import { apiScene, atTarget, planFor, type ApiScene } from './api-scene.js';
import type { Scene } from './scene.js';

let controller: Controller;
const scenes: Scene[] = [];
const sandboxes: { deps: ActivityDeps; ref: SandboxRef }[] = [];

beforeEach(async () => {
  controller = await startController();
});
afterEach(async () => {
  for (const { deps, ref } of sandboxes.splice(0)) await createDiscardSandbox(deps)({ ref });
  for (const scene of scenes.splice(0)) await scene.remove();
  await controller.stop();
});

async function scene(major: 17 | 18): Promise<ApiScene> {
  const made = await apiScene(controller, major);
  scenes.push(made);
  return made;
}

function sandbox(deps: ActivityDeps, name: string): SandboxRef {
  const runId = `${name}-0000-4000-8000-000000000000`;
  const ref = { environment: 'shop', run: `shop/pitr/${name}`, runId, sandbox: name, host: 'dallas' };
  sandboxes.push({ deps, ref });
  return ref;
}

/** All steps to the evidence, with the plan that is completed on the way. */
async function recover({ deps }: Scene, name: string, plan: RecoveryPlan) {
  const ref = sandbox(deps, name);
  await createPrepareSandbox(deps)({ ref, plan });
  const restored = await createRestoreBase(deps)({ ref, plan });
  const complete = restored.plan!;
  await createCombineIncrementals(deps)({ ref, plan: complete });
  await createReplayWal(deps)({ ref, plan: complete });
  const { checks } = await createVerifySandbox(deps)({ ref, plan: complete });
  return { restored, complete, checks, ref };
}

describeWithBucket('recovery through the API of a controller', () => {
  test.each([17, 18] as const)(
    'PostgreSQL %i reaches the target with the rows that the source had then; the boundary is found in the stream',
    async (major) => {
      const made = await scene(major);
      const { expected } = made;
      const plan = await planFor(made, atTarget(expected));
      expect(plan).toMatchObject({
        boundaryAfterFetch: true,
        boundary: { kept: null, dropped: null },
        postgresMajor: major,
        baseChain: [{ kind: 'full' }, { kind: 'incremental' }],
      });
      const { restored, complete, checks } = await recover(made, `pg${String(major)}`, plan);
      expect(restored.files).toBeGreaterThan(1_500);
      expect(complete.boundaryAfterFetch).toBeUndefined();
      expect(complete.hash).not.toBe(plan.hash);
      expect(complete.boundary.kept!.time <= normaliseTimestamp(expected.targetTime)!).toBe(true);
      expect(complete.boundary.dropped!.time > normaliseTimestamp(expected.targetTime)!).toBe(true);
      expect(checks.filter(({ ok }) => !ok)).toEqual([]);
      expect(checks.find(({ check }) => check === 'check: rows and md5')?.actual).toBe(expected.rowsAndMd5AtTarget);
    },
    180_000,
  );

  test('a time behind the last commit goes to that commit, and the plan says so', async () => {
    const made = await scene(17);
    const wal = controller.databases.get(P17)!.rows.find(({ walFilename }) => walFilename?.endsWith('7'))!;
    // Nobody wrote for an hour, then the segment was switched.
    wal.createdAt = '2026-11-21T04:35:00.000000Z';
    const plan = await planFor(made, { kind: 'time', value: '2026-11-21T04:00:00.000000Z' });
    const ref = sandbox(made.deps, 'idle');
    await createPrepareSandbox(made.deps)({ ref, plan });
    const { plan: complete } = await createRestoreBase(made.deps)({ ref, plan });
    expect(complete).toMatchObject({ boundary: { dropped: null }, stop: { kind: 'lsn', inclusive: true } });
    expect(complete!.boundary.kept!.time < '2026-11-21T03:36').toBe(true);
    expect(complete!.warnings.join()).toMatch(/the wal of the backup ends with the commit of 2026-11-21T03:3/);
  }, 120_000);

  test('done again after its reply was lost, the step finds the same plan and fetches nothing', async () => {
    const made = await scene(17);
    const plan = await planFor(made, { kind: 'latest' });
    const ref = sandbox(made.deps, 'twice');
    await createPrepareSandbox(made.deps)({ ref, plan });
    const first = await createRestoreBase(made.deps)({ ref, plan });
    const second = await createRestoreBase(made.deps)({ ref, plan });
    expect(second.plan).toEqual(first.plan);
    expect(controller.streams()).toBe(1);
  }, 120_000);

  test('a plan that was not completed reaches nothing: the server refuses to stop anywhere', async () => {
    const made = await scene(17);
    const plan = await planFor(made, { kind: 'latest' });
    const ref = sandbox(made.deps, 'open');
    await createPrepareSandbox(made.deps)({ ref, plan });
    await createRestoreBase(made.deps)({ ref, plan });
    await createCombineIncrementals(made.deps)({ ref, plan });
    await expect(createReplayWal(made.deps)({ ref, plan })).rejects.toMatchObject({ type: 'RecoveryStopped' });
  }, 120_000);
});
