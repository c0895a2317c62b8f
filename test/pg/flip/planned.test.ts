/**
 * A planned flip on two real servers: (1) the candidate takes the writes and has every acknowledged row, (2) a second call finds it done,
 * (3) the old primary is stopped, fenced, and would start as a standby only, (4) the candidate's settings are as before.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';

import { createFlipWrites } from '../../../activities/postgres/flip/flip-writes.js';
import { requireControlData } from '../../../activities/postgres/control-data.js';
import { readFence } from '../../../activities/lib/fence-file.js';
import { readRouter } from '../../support/flip-files.js';
import { destroyAllFlipScenes, makeFlipScene, waitFor, type FlipScene } from '../../support/flip-scene.js';

jest.setTimeout(120_000);

let scene: FlipScene;
beforeEach(async () => {
  scene = await makeFlipScene();
});
afterEach(destroyAllFlipScenes);

test.each(['stop', 'cut'] as const)('mode %s moves the writes, and a second call finds it done', async (mode) => {
  const input = await scene.flipInput('r1', { mode });
  await scene.dallas.query('insert into orders select generate_series(1, 1000)');
  const flipWrites = createFlipWrites(scene.deps);
  const result = await flipWrites(input);
  expect(result).toMatchObject({ outcome: 'flipped', timeline: 2, lost: { commits: [], exact: true } });
  expect(await scene.chicago.query('select count(*)::int n from orders')).toEqual([{ n: 1000 }]);
  await scene.chicago.query('insert into orders values (1001)');
  expect(readRouter(scene.dir)).toMatchObject({ target: 'chicago', fenced: ['dallas'] });
  await expect(flipWrites(input)).resolves.toMatchObject({
    outcome: 'already-flipped',
    timeline: 2,
    writeOutageMs: result.writeOutageMs,
  });
  await waitFor(async () => (await scene.deps.runtime('lab', 'dallas').status()).state === 'stopped');
  if (mode === 'stop') {
    await expect(requireControlData(scene.dallas.binDir, scene.dallas.dataDir)).resolves.toMatchObject({
      state: 'shut down',
    });
  }
  expect(existsSync(path.join(scene.dallas.dataDir, 'standby.signal'))).toBe(true);
  await expect(readFence(scene.config.stateDir, 'lab', 'dallas')).resolves.toMatchObject({ fenced: true });
  const settings =
    "select name, setting from pg_file_settings where sourcefile like '%auto.conf' and name in ('wal_retrieve_retry_interval', 'restore_command')";
  await expect(scene.chicago.query(settings)).resolves.toEqual([]);
});
