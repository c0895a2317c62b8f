/**
 * Scenario: something that a flip needs fails between the pause and the promotion. Verified: (1) it ends as FlipUndone and says why, (2) the old primary
 * takes writes through the router again, not fenced, (3) clients are resumed, (4) the candidate is a standby with its own settings and no slot of ours,
 * (5) a second attempt, once the cause is gone, flips.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { createFlipWrites } from '../../../activities/postgres/flip/flip-writes.js';
import { readFence } from '../../../activities/lib/fence-file.js';
import type { ActivityDeps } from '../../../activities/lib/deps.js';
import { changePooler, changeRouter, readPooler, routedNode } from '../../support/flip-files.js';
import { destroyAllFlipScenes, makeFlipScene, waitFor, type FlipScene } from '../../support/flip-scene.js';

jest.setTimeout(120_000);
afterEach(destroyAllFlipScenes);

/** `deps` whose router does something right after it was told to fence. */
function afterFence(scene: FlipScene, work: () => Promise<unknown>): ActivityDeps {
  const provider = scene.deps.routing('lab');
  const routing: ReturnType<ActivityDeps['routing']> = {
    ...provider,
    open: async (timeoutMs) => {
      const session = await provider.open(timeoutMs);
      return {
        ...session,
        fence: async (node) => {
          await session.fence(node);
          await work();
        },
      };
    },
  };
  return { ...scene.deps, routing: () => routing };
}

async function expectUndone(scene: FlipScene, attempt: Promise<unknown>, why: RegExp): Promise<void> {
  await expect(attempt).rejects.toMatchObject({ type: 'FlipUndone', message: expect.stringMatching(why) as string });
  expect(routedNode(scene.dir)).toBe('dallas');
  expect(readPooler(scene.dir).pausedUntilMs).toBe(0);
  await expect(readFence(scene.config.stateDir, 'lab', 'dallas')).resolves.toEqual({ fenced: false });
  await scene.dallas.query('insert into orders values (1)');
}

async function expectUntouchedCandidate(scene: FlipScene): Promise<void> {
  const settings = await scene.chicago.query<{ name: string }>(
    `select name from pg_file_settings where sourcefile like '%auto.conf' and name not like 'primary%'`,
  );
  expect(settings).toEqual([]);
  expect(await scene.chicago.query('select slot_name from pg_replication_slots')).toEqual([]);
  expect(await scene.chicago.query('select pg_is_in_recovery() s')).toEqual([{ s: true }]);
}

async function streams(scene: FlipScene): Promise<void> {
  await waitFor(
    async () =>
      (await scene.chicago.query<{ status: string }>('select status from pg_stat_wal_receiver'))[0]?.status ===
      'streaming',
  );
}

test('a pooler that cannot pause: nothing was touched, and its blocker is named', async () => {
  const scene = await makeFlipScene();
  const input = await scene.flipInput('r1');
  changePooler(scene.dir, { stuck: true });
  await expectUndone(
    scene,
    createFlipWrites(scene.deps)(input),
    /pgb cannot pause: app@shop pid 42 for 77 s \(select pg_sleep/,
  );
  await expectUntouchedCandidate(scene);
  changePooler(scene.dir, { stuck: false });
  await expect(createFlipWrites(scene.deps)(input)).resolves.toMatchObject({ outcome: 'flipped' });
});

test('the candidate dies between fence and promotion: the old primary takes writes again', async () => {
  const scene = await makeFlipScene();
  const input = await scene.flipInput('r1');
  const flipWrites = createFlipWrites(afterFence(scene, () => scene.chicago.stop('immediate')));
  await expectUndone(scene, flipWrites(input), /./);
  await scene.chicago.start();
  await streams(scene);
  await expect(createFlipWrites(scene.deps)(input)).resolves.toMatchObject({ outcome: 'flipped', timeline: 2 });
  expect(await scene.chicago.query('select id::int from orders')).toEqual([{ id: 1 }]);
});

test('a candidate that does not replay what the old primary wrote last is not promoted', async () => {
  const scene = await makeFlipScene();
  const input = await scene.flipInput('r1');
  const flipWrites = createFlipWrites(afterFence(scene, () => scene.chicago.query('select pg_wal_replay_pause()')));
  await expectUndone(scene, flipWrites(input), /chicago has not replayed the shutdown checkpoint of dallas/);
  await scene.chicago.query('select pg_wal_replay_resume()');
  await streams(scene);
  await expect(createFlipWrites(scene.deps)(input)).resolves.toMatchObject({ outcome: 'flipped', timeline: 2 });
});

test('the router goes away before anything was touched: it is waited for', async () => {
  const scene = await makeFlipScene();
  const input = await scene.flipInput('r1');
  changeRouter(scene.dir, { broken: true });
  await expect(createFlipWrites(scene.deps)(input)).rejects.toMatchObject({ type: 'RoutingUnavailable' });
  changeRouter(scene.dir, { broken: false });
  await scene.dallas.query('insert into orders values (1)');
  await expectUntouchedCandidate(scene);
});

test('the router refuses the fence: undone before the old primary was stopped', async () => {
  const scene = await makeFlipScene();
  const input = await scene.flipInput('r1');
  const pid = await scene.dallas.query('select pg_postmaster_start_time() as at');
  const flipWrites = createFlipWrites(afterFence(scene, () => Promise.reject(new Error('the socket is gone'))));
  await expectUndone(scene, flipWrites(input), /the socket is gone/);
  await expectUntouchedCandidate(scene);
  expect(await scene.dallas.query('select pg_postmaster_start_time() as at')).toEqual(pid);
});

test('an old primary that does not end its checkpoint in time is started again', async () => {
  const scene = await makeFlipScene({ flip: { stopTimeout: '2s' } });
  const input = await scene.flipInput('r1');
  await scene.dallas.query('insert into orders select generate_series(2, 1000)');
  const [checkpointer] = await scene.dallas.query<{ pid: number }>(
    "select pid from pg_stat_activity where backend_type = 'checkpointer'",
  );
  const freeze = (): Promise<void> => {
    process.kill(checkpointer!.pid, 'SIGSTOP');
    return Promise.resolve();
  };
  await expectUndone(scene, createFlipWrites(afterFence(scene, freeze))(input), /shutdown checkpoint within 2 s/);
  expect(await scene.dallas.query('select count(*)::int n from orders')).toEqual([{ n: 1000 }]);
  await streams(scene);
  await expectUntouchedCandidate(scene);
});

test('killed after the stop while the candidate dies for good: the next attempt starts the old primary', async () => {
  const scene = await makeFlipScene();
  const input = await scene.flipInput('r1');
  const gone = new Error('the worker is gone');
  // A worker that dies does nothing any more: neither undo nor resume.
  const attempt = createFlipWrites(
    afterFence(scene, async () => {
      await scene.chicago.stop('immediate');
      await scene.dallas.stop();
      await new Promise(() => undefined);
      throw gone;
    }),
  )(input);
  attempt.catch(() => undefined);
  await waitFor(async () => (await scene.deps.runtime('lab', 'dallas').status()).state === 'stopped');
  await delay(50);
  await expectUndone(scene, createFlipWrites(scene.deps)(input), /chicago does not answer/);
});

test('behind the point of no return the old primary is not started, whatever the candidate says', async () => {
  const scene = await makeFlipScene();
  const input = await scene.flipInput('r1');
  const result = await createFlipWrites(scene.deps)(input);
  expect(result.outcome).toBe('flipped');
  await scene.chicago.stop('immediate');
  await expect(createFlipWrites(scene.deps)(input)).rejects.toMatchObject({ type: 'DatabaseUnavailable' });
  await expect(scene.deps.runtime('lab', 'dallas').status()).resolves.toMatchObject({ state: 'stopped' });
});

test('two attempts at once: the second one does nothing', async () => {
  const scene = await makeFlipScene();
  const input = await scene.flipInput('r1');
  const second: { answer?: unknown } = {};
  const flipWrites = createFlipWrites(
    afterFence(scene, async () => {
      second.answer = await createFlipWrites(scene.deps)(input).catch((error: unknown) => error);
    }),
  );
  await expect(flipWrites(input)).resolves.toMatchObject({ outcome: 'flipped' });
  expect(second.answer).toMatchObject({
    type: 'DatabaseUnavailable',
    message: expect.stringContaining('another attempt') as string,
  });
});
