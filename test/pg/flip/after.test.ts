/**
 * After a planned flip: (1) every segment up to the fork is archived, also one that the old primary never got there, and the new timeline archives;
 * (2) the old primary follows by a restart only; (3) both may be called again; (4) the writes can be moved back.
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';

import { readFence } from '../../../activities/lib/fence-file.js';
import { createBackfillArchive } from '../../../activities/postgres/flip/backfill-archive.js';
import { createCheckFlipHost } from '../../../activities/postgres/flip/check-flip-host.js';
import { createFlipWrites } from '../../../activities/postgres/flip/flip-writes.js';
import { createRejoinOldPrimary } from '../../../activities/postgres/flip/rejoin-old-primary.js';
import { readRouter } from '../../support/flip-files.js';
import { destroyAllFlipScenes, makeFlipScene, waitFor } from '../../support/flip-scene.js';
import { createKillableSteps, type KillableSteps } from '../../support/killed-step.js';

jest.setTimeout(180_000);
let steps: KillableSteps;
beforeAll(async () => {
  steps = await createKillableSteps('flip-child');
});
afterAll(() => steps.destroy());
afterEach(destroyAllFlipScenes);

test('archive, rejoin, and back again', async () => {
  const scene = await makeFlipScene();
  await scene.dallas.query('insert into orders select generate_series(1, 1000)');
  const [lost] = await scene.dallas.query<{ name: string }>('select pg_walfile_name(pg_switch_wal()) as name');
  await scene.dallas.query('insert into orders select generate_series(1001, 2000)');
  await waitFor(async () => (await scene.store.walPresence(lost!.name)) === 'found');
  const hostChecks = [
    ...(await createCheckFlipHost(scene.deps)({ environment: 'lab', node: 'dallas', peer: 'chicago' })).checks,
    ...(await createCheckFlipHost(scene.deps)({ environment: 'lab', node: 'chicago', peer: 'dallas' })).checks,
  ];
  expect(hostChecks.filter(({ ok }) => !ok)).toEqual([]);
  const input = await scene.flipInput('r1', { hostChecks });
  const result = await createFlipWrites(scene.deps)(input);
  // As if the archiver of the old primary had not come that far.
  await rm(path.join(scene.store.walDir, lost!.name));
  const backfill = {
    environment: 'lab',
    node: 'chicago',
    run: 'lab/change',
    runId: 'r1',
    fromTimeline: 1,
    switchLsn: result.switchLsn,
  };
  expect(await steps.killAt('backfill-archive:handed-over', 'backfillArchive', scene.configFile, backfill)).toBe(true);
  const archived = await createBackfillArchive(scene.deps)(backfill);
  expect(await scene.store.walPresence(lost!.name)).toBe('found');
  expect(archived.firstOnNewTimeline).toMatch(/^00000002/);
  expect(await scene.store.walPresence('00000002.history')).toBe('found');
  await expect(createBackfillArchive(scene.deps)(backfill)).resolves.toMatchObject({ pushed: [] });

  const rejoin = {
    environment: 'lab',
    node: 'dallas',
    run: 'lab/change',
    runId: 'r1',
    to: 'chicago',
    expect: input.plan.from,
    timeline: 2,
  };
  for (const point of ['rejoin-old-primary:configured', 'rejoin-old-primary:started']) {
    expect(await steps.killAt(point, 'rejoinOldPrimary', scene.configFile, rejoin)).toBe(true);
  }
  const rejoinOldPrimary = createRejoinOldPrimary(scene.deps);
  await expect(rejoinOldPrimary(rejoin)).resolves.toMatchObject({ timeline: 2, method: 'restart' });
  await expect(rejoinOldPrimary(rejoin)).resolves.toMatchObject({ outcome: 'already-streaming' });
  await expect(readFence(scene.config.stateDir, 'lab', 'dallas')).resolves.toEqual({ fenced: false });
  expect(readRouter(scene.dir).released).toContain('dallas');
  expect(await scene.dallas.query('select slot_name from pg_replication_slots')).toEqual([]);
  expect(await scene.chicago.query('select slot_name, active from pg_replication_slots')).toEqual([
    { slot_name: 'dallas', active: true },
  ]);

  await scene.chicago.query('insert into orders values (2001)');
  const back = await scene.flipInput('r2', { to: 'dallas' });
  const again = await createFlipWrites(scene.deps)(back);
  expect(again).toMatchObject({ outcome: 'flipped', timeline: 3, lost: { commits: [], exact: true } });
  expect(await scene.dallas.query('select count(*)::int n from orders')).toEqual([{ n: 2001 }]);
  await expect(
    rejoinOldPrimary({
      environment: 'lab',
      node: 'chicago',
      run: 'lab/change',
      runId: 'r2',
      to: 'dallas',
      expect: back.plan.from,
      timeline: 3,
    }),
  ).resolves.toMatchObject({ outcome: 'rejoined', method: 'restart' });
});
