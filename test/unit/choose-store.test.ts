/** Scenario: several backup stores are asked for one target. Verified: which one is taken, and what is said of the others. */
import { chooseStore, type Resolution } from '../../activities/postgres/choose-store.js';
import { stepFailure } from '../../activities/lib/failure.js';
import { configSchema, type EnvironmentConfig } from '../../config/schema.js';
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import { recoveryPlan } from '../support/workflow-fixtures.js';

const S3 = { kind: 's3', bucket: 'b', accessKeyId: 'env:A', secretAccessKey: 'env:B' };

function environment(): EnvironmentConfig {
  const node = {
    name: 'a',
    host: 'a',
    address: 'a',
    port: 5432,
    dataDir: '/d',
    binDir: '/b',
    runtime: { kind: 'process' },
  };
  const parsed = configSchema.parse({
    version: 1,
    stateDir: '/s',
    record: { kind: 'directory', path: '/r' },
    environments: {
      shop: {
        postgres: {},
        nodes: [node],
        routing: { kind: 'multihost', url: 'postgresql://a/x?target_session_attrs=read-write' },
        backups: S3,
        otherBackups: { offsite: { ...S3, kind: 'barman-cloud', server: 'shop' }, far: S3 },
      },
    },
  });
  return parsed.environments['shop']!;
}

function serves(more: { bytes?: number; kept?: string | null } = {}): Resolution {
  const plan: RecoveryPlan = recoveryPlan('shop', 'a');
  const kept = more.kept === null ? null : { ...plan.boundary.kept!, time: more.kept ?? '2026-11-21T03:41:59.000000Z' };
  return {
    resolved: { ...plan, replayBytes: more.bytes ?? 16_000_000, boundary: { ...plan.boundary, kept } },
    warnings: [],
  };
}

const ask = (answers: Record<string, Resolution | Error>) => (store: string) => {
  const answer = answers[store]!;
  return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
};

test('the fastest of those that keep the same is taken, and the first of the config among equals', async () => {
  const slow = serves({ bytes: 900_000_000_000 });
  await expect(
    chooseStore(environment(), undefined, ask({ main: slow, offsite: serves(), far: serves() })),
  ).resolves.toMatchObject({
    store: 'offsite',
    stores: [
      { store: 'main', reaches: true },
      { store: 'offsite', kind: 'barman-cloud', reaches: true },
      { store: 'far' },
    ],
  });
  const alike = ask({ main: serves(), offsite: serves(), far: serves() });
  await expect(chooseStore(environment(), undefined, alike)).resolves.toMatchObject({ store: 'main' });
});

test('a store that keeps more before the target wins over a faster one', async () => {
  const behind = serves({ kept: '2026-11-21T03:30:00.000000Z' });
  const slow = serves({ bytes: 900_000_000_000 });
  const answers = ask({ main: behind, offsite: serves({ kept: null }), far: slow });
  await expect(chooseStore(environment(), undefined, answers)).resolves.toMatchObject({ store: 'far' });
});

test('a store that cannot serve, or does not answer, is named with the reason', async () => {
  const hole = stepFailure('TargetInHole', 'wal is missing');
  const down = stepFailure('StoreUnavailable', 'the bucket does not answer');
  const chosen = await chooseStore(environment(), undefined, ask({ main: hole, offsite: down, far: serves() }));
  expect(chosen.store).toBe('far');
  expect(chosen.stores.slice(0, 2)).toEqual([
    { store: 'main', kind: 's3', reaches: false, code: 'TargetInHole', why: 'wal is missing' },
    {
      store: 'offsite',
      kind: 'barman-cloud',
      reaches: false,
      code: 'StoreUnavailable',
      why: 'the bucket does not answer',
    },
  ]);
});

test('a store that hangs does not hold up a recovery that another one can serve', async () => {
  const hangs = (store: string): Promise<Resolution> =>
    store === 'main' ? new Promise(() => undefined) : Promise.resolve(serves());
  const chosen = await chooseStore(environment(), undefined, hangs, 20);
  expect(chosen.store).toBe('offsite');
  expect(chosen.stores[0]).toEqual({
    store: 'main',
    kind: 's3',
    reaches: false,
    code: 'StoreUnavailable',
    why: 'it did not answer within 0.02 s after another store had',
  });
});

test('while none serves, the slow ones are waited for', async () => {
  const hole = stepFailure('TargetInHole', 'wal is missing');
  const slow = (store: string): Promise<Resolution> =>
    store === 'far' ? new Promise((resolve) => setTimeout(resolve, 60, serves())) : Promise.reject(hole);
  await expect(chooseStore(environment(), undefined, slow, 1)).resolves.toMatchObject({ store: 'far' });
});

test('when none serves, the failure is that of the first one and tells of all', async () => {
  const hole = stepFailure('TargetInHole', 'wal is missing');
  const down = stepFailure('StoreUnavailable', 'the bucket does not answer');
  await expect(
    chooseStore(environment(), undefined, ask({ main: hole, offsite: down, far: hole })),
  ).rejects.toMatchObject({
    type: 'TargetInHole',
    message: 'store main: wal is missing; store offsite: the bucket does not answer; store far: wal is missing',
  });
});

test('a store that is named is asked alone; one that is not in the config is refused', async () => {
  const down = stepFailure('StoreUnavailable', 'the bucket does not answer');
  await expect(chooseStore(environment(), 'offsite', ask({ offsite: down }))).rejects.toBe(down);
  await expect(chooseStore(environment(), 'tapes', ask({}))).rejects.toMatchObject({
    type: 'NotFound',
    details: [{ hint: 'its stores are: main, offsite, far' }],
  });
});

test('a bug in one store is not hidden behind another store', async () => {
  const bug = new TypeError('undefined is not a function');
  await expect(
    chooseStore(environment(), undefined, ask({ main: serves(), offsite: bug, far: serves() })),
  ).rejects.toBe(bug);
});
