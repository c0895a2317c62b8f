/**
 * Scenario: another attempt of a flip, thought dead, still holds its lock on the candidate; or a third node has become a primary when a flip is undone.
 * Verified: (1) while the lock is held nothing is touched, (2) a lock that is let go a moment later is waited for, (3) the old primary is not started
 * beside another primary.
 */
import { promote } from '../../../activities/postgres/flip/candidate.js';
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
  const runtime: typeof scene.deps.runtime = (environment, node) => {
    const own = scene.deps.runtime(environment, node);
    if (node !== 'dallas') return own;
    const stop: typeof own.stop = async (timeoutMs) => {
      await scene.chicago.stop('immediate');
      return own.stop(timeoutMs);
    };
    return { ...own, stop };
  };
  const attempt = createFlipWrites({ ...scene.deps, config, runtime })(input);
  await expect(attempt).rejects.toMatchObject({
    type: 'FenceFailed',
    message: expect.stringMatching(/austin accepts writes now: dallas was not started/) as string,
  });
  await expect(scene.dallas.query('select 1')).rejects.toThrow();
});

test('a candidate that dies when it is told to promote itself: typed, and says what to do', async () => {
  const scene = await makeFlipScene();
  const names = { from: { name: 'dallas' }, to: { name: 'chicago' } };
  const work = connectNode(scene.deps, 'lab', 'chicago', {}, async (client) => {
    const query = client.query.bind(client) as (text: string) => Promise<unknown>;
    const dying = async (text: string): Promise<unknown> => {
      if (text.includes('pg_promote')) await scene.chicago.stop('immediate');
      return query(text);
    };
    await promote(names, Object.assign(client, { query: dying }));
  });
  await expect(work).rejects.toMatchObject({
    type: 'DatabaseUnavailable',
    message: expect.stringMatching(/chicago was told to promote itself and does not answer any more/) as string,
  });
});
