/**
 * Scenario: the primary is gone (killed, or its host frozen). Verified: (1) without proof of the fence nothing happens, (2) the candidate is promoted and
 * routed, (3) a frozen primary that comes back takes no write of the router, (4) it comes back as a standby, or says that it must be rebuilt and what it
 * has alone.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';

import { createFenceOldPrimary } from '../../../activities/postgres/flip/fence-old-primary.js';
import { createFlipWrites } from '../../../activities/postgres/flip/flip-writes.js';
import { createPlanFlip } from '../../../activities/postgres/flip/plan-flip.js';
import { createRejoinOldPrimary } from '../../../activities/postgres/flip/rejoin-old-primary.js';
import type { FlipInput, FlipResult } from '../../../shared/contracts/flip.js';
import { routedNode } from '../../support/flip-files.js';
import { destroyAllFlipScenes, makeFlipScene, waitFor, type FlipScene } from '../../support/flip-scene.js';

jest.setTimeout(120_000);
afterEach(destroyAllFlipScenes);

const dead = (scene: FlipScene) =>
  scene.topology((node) =>
    node.name === 'dallas' ? { ...node, role: 'down', why: 'no answer', systemIdentifier: null } : node,
  );

const rejoinInput = (input: FlipInput, result: FlipResult) => ({
  environment: 'lab',
  node: 'dallas',
  run: input.run,
  runId: input.runId,
  to: 'chicago',
  expect: input.plan.from,
  timeline: result.timeline,
});

async function caughtUp(scene: FlipScene): Promise<void> {
  const [at] = await scene.dallas.query<{ lsn: string }>('select pg_current_wal_lsn()::text lsn');
  await waitFor(
    async () =>
      (await scene.chicago.query<{ ok: boolean }>('select pg_last_wal_replay_lsn() >= $1::pg_lsn ok', [at!.lsn]))[0]!
        .ok,
  );
}

test('killed primary: refused without proof, then promoted; it comes back as a standby', async () => {
  const scene = await makeFlipScene();
  await scene.dallas.query('insert into orders select generate_series(1, 100)');
  await scene.dallas.query("insert into pgr.heartbeat values (now(), 'test')");
  await caughtUp(scene);
  await scene.dallas.stop('immediate');
  const input = await scene.flipInput('r1', { failover: true, topology: await dead(scene) });
  expect(input.plan).toMatchObject({ failover: true, from: { name: 'dallas', role: 'down' }, to: { name: 'chicago' } });
  expect(input.plan.atRisk).toMatchObject({
    lastReceivedLsn: expect.any(String) as string,
    ageSeconds: expect.any(Number) as number,
  });
  const flipWrites = createFlipWrites(scene.deps);
  await expect(flipWrites({ ...input, fenceProof: [] })).rejects.toMatchObject({ type: 'FenceFailed' });
  expect(await scene.chicago.query('select pg_is_in_recovery() s')).toEqual([{ s: true }]);
  const fenced = await createFenceOldPrimary(scene.deps)({
    environment: 'lab',
    node: 'dallas',
    run: 'lab/change',
    runId: 'r1',
  });
  expect(fenced).toMatchObject({ outcome: 'fenced', failed: [] });
  const result = await flipWrites({ ...input, fenceProof: fenced.proof });
  expect(result).toMatchObject({ outcome: 'flipped', timeline: 2, shutdownLsn: null, lost: null });
  expect(routedNode(scene.dir)).toBe('chicago');
  await scene.chicago.query('insert into orders values (101)');
  const rejoined = await createRejoinOldPrimary(scene.deps)(rejoinInput(input, result));
  expect(rejoined).toMatchObject({ outcome: 'rejoined', timeline: 2, lost: { commits: [], exact: true } });
  await waitFor(
    async () => (await scene.dallas.query<{ n: number }>('select count(*)::int n from orders'))[0]!.n === 101,
  );
});

test('a primary that answers is not failed over', async () => {
  const scene = await makeFlipScene();
  await expect(createPlanFlip(scene.deps)(await scene.planInput({ failover: true }))).rejects.toMatchObject({
    type: 'PreconditionFailed',
    message: expect.stringContaining('dallas answers and accepts writes') as string,
  });
  const input = await scene.flipInput('r1', { failover: true, topology: await dead(scene) });
  await expect(createFlipWrites(scene.deps)(input)).rejects.toMatchObject({ type: 'FenceFailed' });
  expect(await scene.chicago.query('select pg_is_in_recovery() s')).toEqual([{ s: true }]);
});

test('a frozen primary that comes back takes no write of the router, and what it has alone is named', async () => {
  const scene = await makeFlipScene();
  await caughtUp(scene);
  const pids = await serverPids(scene);
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  const input = await scene.flipInput('r1', { failover: true, topology: await dead(scene) });
  const result = await createFlipWrites(scene.deps)(input);
  expect(result).toMatchObject({ outcome: 'flipped', timeline: 2 });
  for (const pid of pids) process.kill(pid, 'SIGCONT');
  expect(routedNode(scene.dir)).toBe('chicago');
  // A client with the address of the node itself: nobody can keep it from that, so it is found afterwards.
  await scene.dallas.query('insert into orders values (7)');
  await scene.chicago.query('insert into orders values (8)');
  const answer = await createRejoinOldPrimary(scene.deps)(rejoinInput(input, result));
  expect(answer).toMatchObject({
    outcome: 'needs-rebuild',
    why: expect.stringContaining('1 commits') as string,
    lost: { exact: true },
  });
  expect(answer.lost.commits).toHaveLength(1);
  await expect(scene.deps.runtime('lab', 'dallas').status()).resolves.toMatchObject({ state: 'stopped' });
});

test('something behind the fork, but no commit: the old primary is rewound', async () => {
  const scene = await makeFlipScene();
  await caughtUp(scene);
  await scene.chicago.query("alter system set primary_conninfo = ''");
  await scene.chicago.query('select pg_reload_conf()');
  await waitFor(async () => (await scene.chicago.query('select 1 from pg_stat_wal_receiver')).length === 0);
  await scene.dallas.query('checkpoint');
  await scene.dallas.stop('immediate');
  const input = await scene.flipInput('r1', { failover: true, topology: await dead(scene) });
  const result = await createFlipWrites(scene.deps)(input);
  const rejoined = await createRejoinOldPrimary(scene.deps)(rejoinInput(input, result));
  expect(rejoined).toMatchObject({ outcome: 'rejoined', method: 'rewind', lost: { commits: [], exact: true } });
  await scene.chicago.query('insert into orders values (9)');
  await waitFor(async () => (await scene.dallas.query('select 1 from orders')).length === 1);
  expect(await scene.dallas.query('show port')).toEqual([{ port: String(scene.dallas.port) }]);
});

async function serverPids(scene: FlipScene): Promise<number[]> {
  const found: number[] = [];
  for (const name of (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry))) {
    const cwd = await readlink(`/proc/${name}/cwd`).catch(() => '');
    const comm = await readFile(`/proc/${name}/comm`, 'utf8').catch(() => '');
    if (cwd === scene.dallas.dataDir && comm.trim() === 'postgres') found.push(Number(name));
  }
  return found;
}
