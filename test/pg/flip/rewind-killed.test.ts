/**
 * Scenario: an old primary that has something behind the fork, but no commit, is rewound when it comes back, and the worker dies at each point of that, also
 * between pg_rewind and the return of the node's configuration. Verified: (1) the next attempt ends it: the node follows with its own configuration (pg_rewind
 * brings the source's); (2) pg_rewind runs once; (3) a rewind that was cut short is never started from and never made twice: a rebuild is proposed.
 */
import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { createFlipWrites } from '../../../activities/postgres/flip/flip-writes.js';
import { createRejoinOldPrimary } from '../../../activities/postgres/flip/rejoin-old-primary.js';
import type { RejoinInput } from '../../../shared/contracts/flip.js';
import { appendConf } from '../../support/cluster.js';
import { destroyAllFlipScenes, makeFlipScene, waitFor, type FlipScene } from '../../support/flip-scene.js';
import { createFlipSteps, type FlipSteps } from '../../support/flip-steps.js';
import { jobPid, killJob } from '../../support/rebuild-jobs.js';

jest.setTimeout(120_000);

let steps: FlipSteps;
beforeAll(async () => {
  steps = await createFlipSteps();
});
afterAll(() => steps.destroy());
afterEach(destroyAllFlipScenes);

/** Writes are on chicago, dallas is down with a checkpoint that chicago never got. */
async function splitPair(): Promise<{ scene: FlipScene; rejoin: RejoinInput }> {
  const scene = await makeFlipScene();
  const { dallas, chicago } = scene;
  await appendConf(dallas, ['# of dallas']);
  await chicago.query("alter system set primary_conninfo = ''");
  await chicago.query('select pg_reload_conf()');
  await waitFor(async () => (await chicago.query('select 1 from pg_stat_wal_receiver')).length === 0);
  await dallas.query('checkpoint');
  await dallas.stop('immediate');
  const topology = await scene.topology((node) =>
    node.name === 'dallas' ? { ...node, role: 'down', why: 'no answer', systemIdentifier: null } : node,
  );
  const { run, runId, plan, ...input } = await scene.flipInput('r1', { failover: true, topology });
  const { timeline } = await createFlipWrites(scene.deps)({ ...input, run, runId, plan });
  await chicago.query('insert into orders values (1)');
  return {
    scene,
    rejoin: { environment: 'lab', node: 'dallas', run, runId, to: 'chicago', expect: plan.from, timeline },
  };
}

const POINTS = ['settings-kept', 'rewound', 'settings-back', 'configured', 'started'];

test('killed at each point, it ends rewound once, with its own configuration', async () => {
  const { scene, rejoin } = await splitPair();
  const { dallas } = scene;
  for (const point of POINTS) {
    const { ended } = steps.start('rejoinOldPrimary', scene.configFile, rejoin, [`rejoin-old-primary:${point}`]);
    expect([point, await ended]).toEqual([point, { end: 'died', signal: 'SIGKILL' }]);
  }
  const last = await steps.start('rejoinOldPrimary', scene.configFile, rejoin).ended;
  expect(last).toMatchObject({ end: 'done', result: { lost: { commits: [] } } });
  const job = scene.deps.jobs.directory('r1.rejoin-rewind-dallas');
  expect((await readdir(job)).filter((name) => name.startsWith('claim-'))).toEqual(['claim-1']);
  await waitFor(async () => (await dallas.query('select 1 from orders')).length === 1);
  expect(await dallas.query('show port')).toEqual([{ port: String(dallas.port) }]);
  expect(await readFile(path.join(dallas.dataDir, 'postgresql.conf'), 'utf8')).toContain('# of dallas');
  const slots = await scene.chicago.query('select slot_name, active from pg_replication_slots');
  expect(slots).toEqual([{ slot_name: 'dallas', active: true }]);
  const beside = await readdir(path.dirname(dallas.dataDir));
  expect(beside.filter((name) => name.includes('settings'))).toEqual([]);
});

test('cut short, it is not started and not made again: a rebuild is proposed, each time it is asked', async () => {
  const { scene, rejoin } = await splitPair();
  const { dallas, config } = scene;
  const binDir = path.join(scene.dir, 'bin');
  await mkdir(binDir);
  for (const name of await readdir(dallas.binDir)) {
    if (name !== 'pg_rewind') await symlink(path.join(dallas.binDir, name), path.join(binDir, name));
  }
  // One that has begun and will not end by itself.
  await writeFile(path.join(binDir, 'pg_rewind'), '#!/bin/sh\nexec sleep 600\n');
  await chmod(path.join(binDir, 'pg_rewind'), 0o755);
  const changed = structuredClone(config);
  changed.environments['lab']!.nodes[0]!.binDir = binDir;
  const rejoinOldPrimary = createRejoinOldPrimary({ ...scene.deps, config: changed });
  const first = rejoinOldPrimary(rejoin);
  await waitFor(async () => (await jobPid(config.stateDir, 'rewind-dallas')) !== null);
  await killJob(config.stateDir, 'rewind-dallas');
  const answer = { outcome: 'needs-rebuild', why: expect.stringContaining('cut short') as string };
  await expect(first).resolves.toMatchObject(answer);
  await expect(createRejoinOldPrimary(scene.deps)(rejoin)).resolves.toMatchObject(answer);
  await expect(scene.deps.runtime('lab', 'dallas').status()).resolves.toMatchObject({ state: 'stopped' });
  expect(existsSync(path.join(dallas.dataDir, 'standby.signal'))).toBe(true);
});
