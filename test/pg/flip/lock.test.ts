/**
 * Scenario: another attempt of a flip, thought dead, still holds its lock on the candidate; or a third node has become a primary when a flip is undone.
 * Verified: (1) while the lock is held nothing is touched, (2) a lock that is let go a moment later is waited for, (3) the old primary is not started
 * beside another primary.
 */
import { createFlipWrites } from '../../../activities/postgres/flip/flip-writes.js';
import { connectNode } from '../../../activities/postgres/connection.js';
import { destroyAllClusters, startCluster } from '../../support/cluster.js';
import { readPooler, routedNode } from '../../support/flip-files.js';
import { destroyAllFlipScenes, makeFlipScene, waitFor, type FlipScene } from '../../support/flip-scene.js';

jest.setTimeout(120_000);
afterEach(async () => {
  await destroyAllFlipScenes();
  await destroyAllClusters();
});

const LOCK = 'select pg_advisory_lock(7047250219)';

/** Holds the lock of flips on the candidate until the returned function is called. */
async function holdLock(scene: FlipScene): Promise<() => Promise<void>> {
  const release = { now: (): void => undefined };
  const released = new Promise<void>((resolve) => (release.now = resolve));
  const held = connectNode(scene.deps, 'lab', 'chicago', {}, async (client) => {
    await client.query(LOCK);
    await released;
  });
  await waitFor(
    async () => (await scene.chicago.query("select 1 from pg_locks where locktype = 'advisory'")).length > 0,
  );
  return async () => {
    release.now();
    await held;
  };
}

type Stop = ReturnType<ReturnType<FlipScene['deps']['runtime']>['stop']>;

/** Runtimes in which the stop of the old primary is done by `work`. */
function stopOf(scene: FlipScene, work: (stop: () => Stop) => Stop): FlipScene['deps']['runtime'] {
  return (environment, node) => {
    const own = scene.deps.runtime(environment, node);
    return node === 'dallas' ? { ...own, stop: (timeoutMs) => work(() => own.stop(timeoutMs)) } : own;
  };
}

test('an attempt that is still at work is not disturbed: the next one waits, says so, and touches nothing', async () => {
  const scene = await makeFlipScene();
  const input = await scene.flipInput('r1');
  const [before] = await scene.dallas.query<{ lsn: string }>('select pg_current_wal_insert_lsn() as lsn');
  const release = await holdLock(scene);
  const refused = { type: 'DatabaseUnavailable', message: expect.stringContaining('still at work') as string };
  await expect(createFlipWrites(scene.deps)(input)).rejects.toMatchObject(refused);
  expect(routedNode(scene.dir)).toBe('dallas');
  expect(readPooler(scene.dir)).toMatchObject({ pausedUntilMs: 0, longestPauseMs: 0 });
  expect(await scene.dallas.query('select pg_current_wal_insert_lsn() as lsn')).toEqual([before]);

  const attempt = createFlipWrites(scene.deps)(input);
  await release();
  await expect(attempt).resolves.toMatchObject({ outcome: 'flipped' });
});

test('a flip is not undone into a second primary: a third node that took over is named, the old primary stays down', async () => {
  const scene = await makeFlipScene();
  const input = await scene.flipInput('r1');
  const austin = await startCluster();
  const lab = scene.config.environments['lab']!;
  const [dallas] = lab.nodes;
  const third = { ...dallas!, name: 'austin', host: 'austin', port: austin.port, dataDir: austin.dataDir };
  const config = { ...scene.config, environments: { lab: { ...lab, nodes: [...lab.nodes, third] } } };
  // The candidate dies while the old primary goes down.
  const runtime = stopOf(scene, async (stop) => {
    await scene.chicago.stop('immediate');
    return stop();
  });
  const attempt = createFlipWrites({ ...scene.deps, config, runtime })(input);
  await expect(attempt).rejects.toMatchObject({
    type: 'FenceFailed',
    message: expect.stringMatching(/austin accepts writes now: dallas was not started/) as string,
  });
  await expect(scene.dallas.query('select 1')).rejects.toThrow();
});

test('a candidate that dies right after the promotion was ordered: the old primary stays down, a retry completes', async () => {
  const scene = await makeFlipScene();
  const input = await scene.flipInput('r1');
  // The stop is over when the shutdown checkpoint is replayed already, that is, while the promotion is under way.
  const runtime = stopOf(scene, async (stop) => {
    const stopped = await stop();
    await scene.chicago.stop('immediate');
    return stopped;
  });
  const attempt = createFlipWrites({ ...scene.deps, runtime })(input);
  await expect(attempt).rejects.toMatchObject({ type: 'DatabaseUnavailable' });
  await expect(scene.dallas.query('select 1')).rejects.toThrow();
  await scene.chicago.start();
  await expect(createFlipWrites(scene.deps)(input)).resolves.toMatchObject({ outcome: 'flipped' });
});
