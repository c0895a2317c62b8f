/**
 * Scenario: the candidate dies between the stop of the old primary and the promotion, and the worker dies at each point of the undo. Verified: (1) it really
 * died there; (2) the next attempt ends the undo: the old primary takes writes, clients reach it, nothing is fenced; (3) with the candidate back
 * the one after flips; (4) no acknowledged row is lost and the two never accept writes in the same moment.
 */
import { readFence } from '../../../activities/lib/fence-file.js';
import { readPooler, routedNode } from '../../support/flip-files.js';
import { destroyAllFlipScenes, makeFlipScene, waitFor } from '../../support/flip-scene.js';
import { createFlipSteps, type FlipSteps } from '../../support/flip-steps.js';
import { startWriter, stopAllWriters } from '../../support/flip-writer.js';

jest.setTimeout(120_000);

let steps: FlipSteps;
beforeAll(async () => {
  steps = await createFlipSteps();
});
afterAll(() => steps.destroy());
afterEach(async () => {
  await stopAllWriters();
  await destroyAllFlipScenes();
});

const POINTS = ['undo-flip:started', 'undo-flip:unfenced', 'undo-flip:routed', 'undo-flip:restored'];

test.each(POINTS)('an undo killed at %s is ended by the next attempt', async (point) => {
  const scene = await makeFlipScene();
  const input = await scene.flipInput('r1');
  const writer = startWriter(scene);
  const rows = async () => (await scene.dallas.query<{ n: number }>('select count(*)::int n from orders'))[0]!.n;
  await waitFor(async () => (await rows()) > 10);
  const dying = steps.start('flipWrites', scene.configFile, input, ['flip:stopped=SIGSTOP', point]);
  expect(await dying.frozen()).toBe(true);
  await scene.chicago.stop('immediate');
  dying.goOn();
  expect(await dying.ended).toEqual({ end: 'died', signal: 'SIGKILL' });
  expect(await steps.start('flipWrites', scene.configFile, input).ended).toMatchObject({
    end: 'failed',
    type: 'FlipUndone',
  });
  expect(routedNode(scene.dir)).toBe('dallas');
  expect(readPooler(scene.dir).pausedUntilMs).toBe(0);
  await expect(readFence(scene.config.stateDir, 'lab', 'dallas')).resolves.toEqual({ fenced: false });
  const before = await rows();
  await waitFor(async () => (await rows()) > before + 5);
  await scene.chicago.start();
  await waitFor(
    async () =>
      (await scene.chicago.query<{ s: string }>('select status s from pg_stat_wal_receiver'))[0]?.s === 'streaming',
  );
  expect(await steps.start('flipWrites', scene.configFile, input).ended).toMatchObject({
    end: 'done',
    result: { outcome: 'flipped', timeline: 2 },
  });
  await waitFor(async () => (await scene.chicago.query('select 1 from orders')).length > before + 10);
  const report = await writer.stop();
  expect(report.bothWritable).toEqual([]);
  const there = new Set(
    (await scene.chicago.query<{ id: string }>('select id from orders')).map(({ id }) => Number(id)),
  );
  expect(report.acknowledged.filter((id) => !there.has(id))).toEqual([]);
});
