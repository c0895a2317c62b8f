/**
 * Scenario: production's own store has nothing; two further stores hold copies of a controller's bucket, one of them damaged behind its lists.
 * Verified: 1 the plan asks all, takes one that reaches the target and says why the others cannot; 2 a damaged base is found, not restored; 3 after the
 * sandbox is discarded the same run restores from the other copy, with nothing left of the first; 4 window and check tell of every store.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import type { ActivityDeps } from '../../../activities/lib/deps.js';
import { checkStore } from '../../../activities/postgres/checks/check-archive.js';
import { createPlanRecovery } from '../../../activities/postgres/plan-recovery.js';
import { createPlanPromotion } from '../../../activities/postgres/promotion/plan-promotion.js';
import { createReadWindow } from '../../../activities/postgres/read-window.js';
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
import { describeWithBucket } from '../../support/databasus.js';
import { destroyAllS3, startS3, type TestS3 } from '../../support/s3.js';
import { testTools } from '../../support/tools.js';
import { fillBucket, makeScene, readExpected, type ExpectedDatabase, type Scene } from './scene.js';

let s3: TestS3;
let expected: ExpectedDatabase;
let scene: Scene;
let deps: ActivityDeps;
const REF: SandboxRef = {
  environment: 'shop',
  run: 'shop/pitr/several',
  runId: 'several0-0000-4000-8000-000000000000',
  sandbox: 'several',
  host: 'dallas',
};

function plan(store?: string): Promise<RecoveryPlan> {
  const target = { kind: 'time', value: normaliseTimestamp(expected.targetTime)! } as const;
  const requestedAt = new Date().toISOString();
  const named = store === undefined ? {} : { store };
  return createPlanRecovery(deps)({ environment: 'shop', target, host: 'dallas', requestedAt, ...named });
}

describeWithBucket('an environment with several stores', () => {
  beforeAll(async () => {
    s3 = await startS3();
    await fillBucket(s3, 'good/');
    const damaged = await fillBucket(s3, 'damaged/');
    expected = (await readExpected()).p18;
    for (const { key } of await damaged.list('Cluster_PITR_18-FULL')) {
      if (key.includes('.')) continue;
      const bytes = Buffer.from(await damaged.get(key));
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      await damaged.put(key, bytes);
    }
    const { postgresBin: binDir } = await testTools();
    scene = await makeScene(s3, expected, { binDir, prefix: '', others: { damaged: 'damaged/', good: 'good/' } });
    ({ deps } = scene);
  }, 120_000);
  afterAll(async () => {
    await createDiscardSandbox(deps)({ ref: REF });
    await scene.remove();
    await destroyAllS3();
  });

  test('the plan takes a store that reaches the target, and the run goes on from another when that one is damaged', async () => {
    const first = await plan();
    expect(first.store).toBe('damaged');
    expect(first.stores).toMatchObject([
      { store: 'main', kind: 's3', reaches: false, code: 'TargetNotRecoverable' },
      { store: 'damaged', kind: 'databasus-bucket', reaches: true },
      { store: 'good', kind: 'databasus-bucket', reaches: true },
    ]);
    await createPrepareSandbox(deps)({ ref: REF, plan: first });
    await expect(createRestoreBase(deps)({ ref: REF, plan: first })).rejects.toMatchObject({ type: 'BackupCorrupt' });

    const second = await plan('good');
    expect(second).toMatchObject({ store: 'good', boundary: first.boundary });
    expect(second.hash).not.toBe(first.hash);
    await createDiscardSandbox(deps)({ ref: REF });
    await createPrepareSandbox(deps)({ ref: REF, plan: second });
    await createRestoreBase(deps)({ ref: REF, plan: second });
    await createCombineIncrementals(deps)({ ref: REF, plan: second });
    await createReplayWal(deps)({ ref: REF, plan: second });
    const { checks } = await createVerifySandbox(deps)({ ref: REF, plan: second });
    expect(checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(checks.find(({ check }) => check === 'check: rows and md5')?.actual).toBe(expected.rowsAndMd5AtTarget);

    // A store may break behind its bases, too: that they had come before says nothing about the next sandbox of the run.
    await createDiscardSandbox(deps)({ ref: REF });
    await createPrepareSandbox(deps)({ ref: REF, plan: second });
    await createRestoreBase(deps)({ ref: REF, plan: second });
    await expect(createCombineIncrementals(deps)({ ref: REF, plan: second })).resolves.toMatchObject({
      outcome: 'combined',
    });
  }, 180_000);

  test('a store that is not in the config is refused, with the names of those that are', async () => {
    await expect(plan('tapes')).rejects.toMatchObject({
      type: 'NotFound',
      details: [{ hint: 'its stores are: main, damaged, good' }],
    });
  });

  test('a window is that of one store, and tells what the others reach', async () => {
    const main = await createReadWindow(deps)({ environment: 'shop' });
    expect(main).toMatchObject({
      store: 'main',
      kind: 's3',
      earliest: null,
      others: [{ store: 'damaged' }, { store: 'good' }],
    });
    const good = await createReadWindow(deps)({ environment: 'shop', store: 'good' });
    expect(good).toMatchObject({
      store: 'good',
      kind: 'databasus-bucket',
      others: [{ earliest: null }, { store: 'damaged' }],
    });
    expect(good.earliest! < expected.targetTime && expected.targetTime < good.latest!).toBe(true);
  }, 60_000);

  test('the doctor looks at every store', async () => {
    const rows = await checkStore(deps, 'shop', '2026-11-21T12:00:00.000000Z');
    const names = rows.map(({ check }) => check);
    expect(names.some((name) => name.startsWith('damaged: '))).toBe(true);
    expect(names.some((name) => name.startsWith('good: '))).toBe(true);
  }, 60_000);

  test('an environment whose own store is only read is never promoted into, and nothing was touched when that is said', async () => {
    const { postgresBin: binDir } = await testTools();
    const readOnly = await makeScene(s3, expected, { binDir, prefix: 'good/' });
    try {
      const input = { environment: 'shop', run: 'shop/change', runId: REF.runId, ref: REF, plan: await plan('good') };
      await expect(createPlanPromotion(readOnly.deps)(input)).rejects.toMatchObject({
        type: 'PreconditionFailed',
        message: expect.stringContaining('databasus-bucket) is only read') as string,
      });
      await expect(readFile(path.join(readOnly.dir, 'data', 'PG_VERSION'))).rejects.toMatchObject({ code: 'ENOENT' });
    } finally {
      await readOnly.remove();
    }
  }, 60_000);
});
