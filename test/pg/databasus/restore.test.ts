/**
 * Scenario: the controller is gone; what is left is its bucket and its secret.key. Verified for both majors: the steps of a recovery reach the target of
 * the real backup, with the rows that the source had then; and what happens when the key or an object is wrong, and when the fetch is killed.
 */
import { spawn } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

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
import { describeWithBucket } from '../../support/databasus.js';
import { destroyAllS3, startS3, type TestS3 } from '../../support/s3.js';
import { testTools } from '../../support/tools.js';
import { fillBucket, makeScene, readExpected, type ExpectedDatabase, type Scene } from './scene.js';

const PREFIX = 'pg/';

let s3: TestS3;
const scenes: Scene[] = [];
const sandboxes: { deps: ActivityDeps; ref: SandboxRef }[] = [];

afterEach(async () => {
  for (const { deps, ref } of sandboxes.splice(0)) await createDiscardSandbox(deps)({ ref });
  for (const scene of scenes.splice(0)) await scene.remove();
});
afterAll(async () => {
  await destroyAllS3();
});

async function scene(
  major: 17 | 18,
  prefix = PREFIX,
  secretKey?: string,
): Promise<Scene & { expected: ExpectedDatabase }> {
  const tools = await testTools();
  const binDir = major === 17 ? tools.postgres17Bin : tools.postgresBin;
  if (binDir === undefined) throw new Error('there is no PostgreSQL 17');
  const expected = (await readExpected())[major === 17 ? 'p17' : 'p18'];
  const made = await makeScene(s3, expected, { binDir, prefix, ...(secretKey === undefined ? {} : { secretKey }) });
  scenes.push(made);
  return { ...made, expected };
}

function planFor({ deps }: Scene, target: RecoveryPlan['target']): Promise<RecoveryPlan> {
  const requestedAt = new Date().toISOString();
  return createPlanRecovery(deps)({ environment: 'shop', target, host: 'dallas', requestedAt });
}

function atTarget({ targetTime }: ExpectedDatabase): RecoveryPlan['target'] {
  return { kind: 'time', value: normaliseTimestamp(targetTime)! };
}

function sandbox(deps: ActivityDeps, name: string): SandboxRef {
  const ref = {
    environment: 'shop',
    run: `shop/pitr/${name}`,
    runId: `${name}-0000-4000-8000-000000000000`,
    sandbox: name,
    host: 'dallas',
  };
  sandboxes.push({ deps, ref });
  return ref;
}

describeWithBucket('recovery out of the bucket of a controller that is gone', () => {
  beforeAll(async () => {
    s3 = await startS3();
    await fillBucket(s3, PREFIX);
  }, 120_000);

  test.each([17, 18] as const)(
    'PostgreSQL %i reaches the target with the rows that the source had then',
    async (major) => {
      const { deps, expected } = await scene(major);
      const plan = await planFor({ deps } as Scene, atTarget(expected));
      expect(plan).toMatchObject({ postgresMajor: major, baseChain: [{ kind: 'full' }, { kind: 'incremental' }] });
      expect(plan.baseChain[0]!.rawBytes).toBeGreaterThan(20_000_000);
      const ref = sandbox(deps, `pg${String(major)}`);
      await createPrepareSandbox(deps)({ ref, plan });
      const restored = await createRestoreBase(deps)({ ref, plan });
      expect(restored.files).toBeGreaterThan(1_500);
      expect(await createCombineIncrementals(deps)({ ref, plan })).toMatchObject({ outcome: 'combined' });
      await createReplayWal(deps)({ ref, plan });
      const { checks } = await createVerifySandbox(deps)({ ref, plan });
      expect(checks.filter(({ ok }) => !ok)).toEqual([]);
      expect(checks.find(({ check }) => check === 'check: rows and md5')?.actual).toBe(expected.rowsAndMd5AtTarget);
    },
    180_000,
  );

  test('the window reaches from the first usable base to the last commit, and says what cannot be used', async () => {
    const { deps, expected, dir } = await scene(18);
    const store = await deps.store('shop');
    const binDir = (await testTools()).postgresBin;
    const window = await store.window({
      environment: 'shop',
      scratchDir: path.join(dir, 'scratch'),
      binDir,
      live: null,
    });
    expect(window.systemIdentifier).toBe('7710462970925164156');
    expect(window.bases.map(({ kind, usable, why }) => [kind, usable, why])).toEqual([
      ['full', false, 'its wal segment 000000010000000000000003 is missing in the archive'],
      ['incremental', true, null],
    ]);
    expect(window.earliest! < expected.targetTime && expected.targetTime < window.latest!).toBe(true);
  }, 60_000);

  test('a fetch that was killed goes on: what is whole is not asked for again', async () => {
    const made = await scene(17);
    const plan = await planFor(made, atTarget(made.expected));
    const specPath = await fetchSpec(made, plan);
    const store = await made.deps.store('shop');
    const first = fetchOnce(made, store.fetchCommand(specPath));
    await untilBytes(made.dir, 1);
    first.kill();
    await first.ended;
    expect(await fetchOnce(made, store.fetchCommand(specPath)).ended).toBe(0);
    const before = s3.bytesServed();
    expect(await fetchOnce(made, store.fetchCommand(specPath)).ended).toBe(0);
    // Listing and sidecars only.
    expect(s3.bytesServed() - before).toBeLessThan(100_000);
    expect(await readdir(path.join(made.dir, 'fetch', 'wal'))).toEqual(
      expect.arrayContaining([plan.fetch.firstSegment, plan.fetch.lastSegment]),
    );
    const result = JSON.parse(await readFile(path.join(made.dir, 'job', 'result.json'), 'utf8')) as unknown;
    expect(result).toMatchObject({ fetchedBytes: 0 });
  }, 120_000);

  test('a key of another controller is refused by the plan and found by the check; it is in no message', async () => {
    const wrong = '11111111-2222-4333-8444-55555555555511111111-2222-4333-8444-555555555555';
    const made = await scene(17, PREFIX, wrong);
    await expect(planFor(made, atTarget(made.expected))).rejects.toMatchObject({ type: 'CredentialsRefused' });
    const lines = await (await made.deps.store('shop')).check();
    const custody = lines.find(({ check }) => check === 'key-custody');
    expect(custody).toMatchObject({
      ok: false,
      actual: expect.stringContaining('the secret key does not open') as string,
    });
    expect(JSON.stringify(lines)).not.toContain(wrong);
  }, 60_000);

  test('a base that lost its end is found before anything is started', async () => {
    const objects = await fillBucket(s3, 'cut/');
    const name = (await objects.list('Cluster_PITR_17-FULL')).find(({ key }) => /[0-9a-f]$/.test(key))!.key;
    const whole = await objects.get(name);
    await objects.put(name, whole.subarray(0, 64 + 2 * (1024 * 1024 + 20)));
    const made = await scene(17, 'cut/');
    const plan = await planFor(made, atTarget(made.expected));
    const ref = sandbox(made.deps, 'cut');
    await createPrepareSandbox(made.deps)({ ref, plan });
    await expect(createRestoreBase(made.deps)({ ref, plan })).rejects.toMatchObject({
      type: 'BackupCorrupt',
      message: expect.stringContaining(name) as string,
    });
  }, 120_000);
});

async function fetchSpec({ dir }: Scene, plan: RecoveryPlan): Promise<string> {
  const fetchDir = path.join(dir, 'fetch');
  await mkdir(fetchDir, { recursive: true });
  const spec = {
    environment: 'shop',
    baseIds: plan.baseChain.map(({ id }) => id),
    baseDirs: plan.baseChain.map((_, at) => path.join(fetchDir, `base-${String(at)}`)),
    wal: {
      timeline: plan.timeline,
      firstSegment: plan.fetch.firstSegment,
      lastSegment: plan.fetch.lastSegment,
      walSegmentBytes: plan.walSegmentBytes,
      dir: path.join(fetchDir, 'wal'),
    },
    owner: null,
  };
  const file = path.join(dir, 'spec.json');
  await writeFile(file, JSON.stringify(spec));
  return file;
}

function fetchOnce({ dir }: Scene, args: string[]): { kill(): void; ended: Promise<number | null> } {
  const env = { ...process.env, PGR_JOB_DIR: path.join(dir, 'job') };
  const started = mkdir(env.PGR_JOB_DIR, { recursive: true }).then(() =>
    spawn(process.execPath, args, { env, cwd: '/', stdio: ['ignore', 'ignore', 'inherit'] }),
  );
  return {
    kill: () => void started.then((child) => child.kill('SIGKILL')),
    ended: started.then((child) => new Promise((resolve) => child.once('close', resolve))),
  };
}

/** Waits until some files of the first base are there. */
async function untilBytes(dir: string, files: number): Promise<void> {
  const deadline = Date.now() + 30_000;
  while ((await readdir(path.join(dir, 'fetch', 'base-0')).catch(() => [])).length < files) {
    if (Date.now() > deadline) throw new Error('the fetch does not begin');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
