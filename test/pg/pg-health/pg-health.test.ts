/**
 * Scenario: pg-health beside real servers. Verified: 1 what it says of a primary, a standby, a promoted, a read-only and a fenced node; 2 it
 * says 503 in time when the server stops or hangs, and never hangs with it; 3 it comes back by itself.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { readFence, removeFence, writeFence } from '../../../activities/lib/fence-file.js';
import { identify, isAlive, type ProcessIdentity } from '../../../activities/lib/process-identity.js';
import { fenceFileFor, type FenceMarker } from '../../../shared/fence-file.js';
import { destroyAllClusters, startCluster, startStandby, type Cluster } from '../../support/cluster.js';
import { quickest } from '../../support/quickest.js';
import { ask, healthOfCluster, stopAllHealth, until, type TestHealth } from './support.js';

jest.setTimeout(120_000);

/** What is promised plus what a busy machine of two cores may add. */
const SLACK_MS = 250;

let primary: Cluster;
let standby: Cluster;
const frozen: ProcessIdentity[] = [];

beforeAll(async () => {
  primary = await startCluster();
  standby = await startStandby(primary);
});
afterEach(async () => {
  for (const process_ of frozen.splice(0)) if (await isAlive(process_)) process.kill(process_.pid, 'SIGCONT');
  await stopAllHealth();
});
afterAll(destroyAllClusters);

async function freeze(pid: number): Promise<void> {
  const identity = await identify(pid);
  if (identity === null) throw new Error(`no process ${String(pid)}`);
  frozen.push(identity);
  process.kill(pid, 'SIGSTOP');
}
const postmasterOf = async (cluster: Cluster): Promise<number> =>
  Number((await readFile(path.join(cluster.dataDir, 'postmaster.pid'), 'utf8')).split('\n')[0]);
async function servingProcess(cluster: Cluster): Promise<number> {
  const [row] = await cluster.query<{ pid: number }>(
    "select pid from pg_stat_activity where application_name = 'pgr-health'",
  );
  return row?.pid ?? 0;
}
const statuses = async (health: TestHealth): Promise<number[]> =>
  Promise.all(['/primary', '/replica', '/health'].map(async (url) => (await ask(health, url)).status));

const marker = (change: Partial<FenceMarker> = {}): FenceMarker => ({
  api: 1,
  environment: 'shop',
  node: 'dallas',
  run: 'shop/change',
  runId: '0199aaaa',
  why: 'flip to chicago',
  at: '2026-11-21T03:42:00Z',
  ...change,
});

test('a primary is called primary to every method, and its facts are in the answer', async () => {
  const health = await healthOfCluster(primary);
  await until(health, '/primary', 200);
  expect(await statuses(health)).toEqual([200, 503, 200]);
  const { body } = await ask(health, '/health?from=router');
  expect(body).toMatchObject({
    api: 1,
    environment: 'shop',
    node: 'dallas',
    role: 'primary',
    fenced: false,
    why: null,
  });
  expect(body['lsn']).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
  const age = async (): Promise<number> => (await ask(health, '/health')).body['ageMs'] as number;
  expect(await quickest(300, age)).toBeLessThan(300);
  expect(await ask(health, '/primary', 'HEAD')).toMatchObject({ status: 200, text: '' });
  expect((await ask(health, '/primary', 'OPTIONS')).status).toBe(200);
});

test('other paths are 404 and other methods 405', async () => {
  const health = await healthOfCluster(primary);
  expect((await ask(health, '/')).status).toBe(404);
  expect((await ask(health, '/primary/x')).status).toBe(404);
  expect((await ask(health, '/primary', 'POST')).status).toBe(405);
  expect((await ask(health, '/primary', 'DELETE')).status).toBe(405);
});

test('an answer takes less than 5 ms, whatever is asked', async () => {
  const health = await healthOfCluster(primary);
  await until(health, '/primary', 200);
  const median = async (): Promise<number> => {
    const times: number[] = [];
    for (let i = 0; i < 100; i += 1) times.push((await ask(health, '/primary')).ms);
    return times.sort((a, b) => a - b)[50] ?? Infinity;
  };
  expect(await quickest(5, median)).toBeLessThan(5);
});

test('a standby is a replica while it streams, and no longer', async () => {
  const health = await healthOfCluster(standby);
  await until(health, '/replica', 200);
  expect(await statuses(health)).toEqual([503, 200, 200]);
  await primary.stop();
  await until(health, '/replica', 503);
  expect((await ask(health, '/health')).body).toMatchObject({ role: 'standby', why: 'there is no WAL receiver' });
  await primary.start();
  await until(health, '/replica', 200);
});

test('a fenced node is not called primary within 100 ms, and is again when the fence is gone', async () => {
  const health = await healthOfCluster(primary);
  await until(health, '/primary', 200);
  const fenced = async (): Promise<number> => {
    await removeFence(health.stateDir, 'shop', 'dallas');
    await until(health, '/primary', 200);
    expect(await writeFence(health.stateDir, marker())).toEqual({ outcome: 'fenced' });
    return until(health, '/primary', 503);
  };
  expect(await quickest(100 + SLACK_MS, fenced)).toBeLessThan(100 + SLACK_MS);
  const { body, status } = await ask(health, '/health');
  expect(status).toBe(200);
  expect(body).toMatchObject({ role: 'primary', fenced: true });
  expect(body['why']).toContain('by shop/change: flip to chicago');
  expect(await writeFence(health.stateDir, marker({ why: 'again' }))).toEqual({ outcome: 'already-fenced' });
  expect(await readFence(health.stateDir, 'shop', 'dallas')).toEqual({ fenced: true, marker: marker() });
  const freed = async (): Promise<number> => {
    await writeFence(health.stateDir, marker());
    await until(health, '/primary', 503);
    expect(await removeFence(health.stateDir, 'shop', 'dallas')).toEqual({ outcome: 'removed' });
    return until(health, '/primary', 200);
  };
  expect(await quickest(100 + SLACK_MS, freed)).toBeLessThan(100 + SLACK_MS);
  expect(await removeFence(health.stateDir, 'shop', 'dallas')).toEqual({ outcome: 'already-removed' });
});

test('a fence that was there before it started holds from the first answer', async () => {
  const health = await healthOfCluster(primary, {}, (stateDir) => writeFence(stateDir, marker()));
  expect((await ask(health, '/health')).body['fenced']).toBe(true);
  await until(health, '/health', 200);
  expect((await ask(health, '/primary')).status).toBe(503);
});

test('a marker that nobody understands fences; one of a node whose names give the same file does not', async () => {
  const health = await healthOfCluster(primary);
  await until(health, '/primary', 200);
  const file = fenceFileFor(health.stateDir, 'shop', 'dallas');
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, '{"api":');
  await until(health, '/primary', 503);
  await expect(readFence(health.stateDir, 'shop', 'dallas')).rejects.toMatchObject({ type: 'FenceFailed' });
  await expect(removeFence(health.stateDir, 'shop', 'dallas')).rejects.toMatchObject({ type: 'FenceFailed' });
  await writeFile(file, JSON.stringify(marker({ environment: 'sh', node: 'op-dallas' })));
  await until(health, '/primary', 200);
  await expect(writeFence(health.stateDir, marker())).rejects.toMatchObject({ type: 'FenceFailed' });
});

test('a server that is set read-only takes no writes', async () => {
  const health = await healthOfCluster(primary);
  await until(health, '/primary', 200);
  await primary.query('alter system set default_transaction_read_only = on');
  await primary.query('select pg_reload_conf()');
  await until(health, '/primary', 503);
  const { body } = await ask(health, '/health');
  expect(body).toMatchObject({ role: 'primary', acceptsWrites: false, why: 'default_transaction_read_only is on' });
  await primary.query('alter system reset default_transaction_read_only');
  await primary.query('select pg_reload_conf()');
  await until(health, '/primary', 200);
});

test('a server that hangs is down within 300 ms, and the answer does not hang with it', async () => {
  const health = await healthOfCluster(primary);
  await until(health, '/primary', 200);
  const serving = await servingProcess(primary);
  await freeze(await postmasterOf(primary));
  await freeze(serving);
  expect(await until(health, '/primary', 503)).toBeLessThan(300 + SLACK_MS);
  const { ms, body } = await ask(health, '/health');
  expect(ms).toBeLessThan(100);
  expect(body).toMatchObject({ role: 'down' });
  // It stays down through the attempts to connect anew, which get no answer either.
  const until_ = performance.now() + 1_500;
  while (performance.now() < until_) expect(await statuses(health)).toEqual([503, 503, 503]);
  for (const { pid } of frozen) process.kill(pid, 'SIGCONT');
  await until(health, '/primary', 200);
});

test('only the process that serves it hangs: another connection tells the truth soon', async () => {
  const health = await healthOfCluster(primary);
  await until(health, '/primary', 200);
  await freeze(await servingProcess(primary));
  expect(await until(health, '/primary', 503)).toBeLessThan(300 + SLACK_MS);
  expect(await until(health, '/primary', 200)).toBeLessThan(3_000);
});

test('a server that is stopped is down at once; it may be down at the start, and comes back by itself', async () => {
  const health = await healthOfCluster(primary);
  await until(health, '/primary', 200);
  const stopped = primary.stop('immediate');
  expect(await until(health, '/health', 503)).toBeLessThan(5_000);
  await stopped;
  const late = await healthOfCluster(primary);
  expect(await statuses(late)).toEqual([503, 503, 503]);
  expect((await ask(late, '/health')).body['why']).toMatch(
    /^127\.0\.0\.1:\d+: (connect ECONNREFUSED|not connected)|not connected yet/,
  );
  expect(late.logged).not.toContainEqual(expect.objectContaining({ role: 'primary' }));
  await primary.start();
  await Promise.all([until(health, '/primary', 200), until(late, '/primary', 200)]);
});

test('a refused login is told without the password and does not fill the log of the server', async () => {
  const guarded = await startCluster({ password: 'open sesame' });
  let asked = 0;
  const password = (): Promise<string> => {
    asked += 1;
    return Promise.resolve(asked === 1 ? 'wrong horse' : 'open sesame');
  };
  const health = await healthOfCluster(guarded, { password });
  await until(health, '/health', 503);
  const deadline = performance.now() + 1_000;
  while (performance.now() < deadline) expect((await ask(health, '/health')).status).toBe(503);
  const { text } = await ask(health, '/health');
  expect(text).toContain('password');
  expect(text).not.toContain('wrong horse');
  expect((await readFile(guarded.logFile, 'utf8')).match(/password authentication failed/g)).toHaveLength(1);
  // The password was changed in the meantime: it is read again.
  await until(health, '/primary', 200);
  await guarded.destroy();
});

test('a standby that is promoted is called primary', async () => {
  const health = await healthOfCluster(standby);
  await until(health, '/replica', 200);
  await standby.query('select pg_promote(false)');
  await until(health, '/primary', 200);
  expect(await statuses(health)).toEqual([200, 503, 200]);
});
