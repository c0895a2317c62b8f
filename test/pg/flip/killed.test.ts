/**
 * Scenario: the worker is killed with SIGKILL at each point of a flip while a client writes; the activity runs again. Verified: (1) it really died there,
 * (2) it ends flipped, (3) the two nodes never accept writes in the same moment, (4) every acknowledged row is there, (5) clients were never made to wait
 * longer than the guard allows.
 */
import { createFlipWrites } from '../../../activities/postgres/flip/flip-writes.js';
import { GUARD_MS, readPooler, readRouter } from '../../support/flip-files.js';
import { destroyAllFlipScenes, makeFlipScene, waitFor } from '../../support/flip-scene.js';
import { startWriter, stopAllWriters } from '../../support/flip-writer.js';
import { createKillableSteps, type KillableSteps } from '../../support/killed-step.js';

jest.setTimeout(120_000);

let steps: KillableSteps;
beforeAll(async () => {
  steps = await createKillableSteps('flip-child');
});
afterAll(() => steps.destroy());
afterEach(async () => {
  await stopAllWriters();
  await destroyAllFlipScenes();
});

const POINTS = [
  'flip:paused',
  'flip:fenced',
  'flip:stopped',
  'flip:promoting',
  'flip:promoted',
  'flip:routed',
  'flip:resumed',
];
const CASES = [
  ...POINTS.map((point) => ['stop', point] as const),
  ['cut', 'flip:stopped'] as const,
  ['cut', 'flip:promoted'] as const,
];

test.each(CASES)('mode %s killed at %s is completed by the next attempt', async (mode, point) => {
  const scene = await makeFlipScene();
  const input = await scene.flipInput('r1', { mode });
  const writer = startWriter(scene);
  await waitFor(async () => (await scene.dallas.query<{ n: number }>('select count(*)::int n from orders'))[0]!.n > 10);
  expect(await steps.killAt(point, 'flipWrites', scene.configFile, input)).toBe(true);
  const result = await createFlipWrites(scene.deps)(input);
  expect(result).toMatchObject({ timeline: 2, lost: { commits: [], exact: true } });
  const after = (await scene.chicago.query<{ n: number }>('select count(*)::int n from orders'))[0]!.n;
  await waitFor(
    async () => (await scene.chicago.query<{ n: number }>('select count(*)::int n from orders'))[0]!.n > after + 5,
  );
  const report = await writer.stop();
  expect(report.bothWritable).toEqual([]);
  const rows = await scene.chicago.query<{ id: string }>('select id from orders');
  const there = new Set(rows.map(({ id }) => Number(id)));
  expect(report.acknowledged.filter((id) => !there.has(id))).toEqual([]);
  expect(readRouter(scene.dir)).toMatchObject({ target: 'chicago' });
  expect(readPooler(scene.dir).pausedUntilMs).toBe(0);
  expect(readPooler(scene.dir).longestPauseMs).toBeLessThanOrEqual(GUARD_MS);
  await expect(scene.dallas.query('select 1')).rejects.toThrow();
});
