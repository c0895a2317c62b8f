/** Scenario: a base copy needs a slot that somebody else uses. Verified: the user is named, and is not cut off; an idle slot is no obstacle. */
import { waitForIdleSlot } from '../../../activities/postgres/standby/slot.js';
import { destroyAllClusters } from '../../support/cluster.js';
import { destroyRebuildScenes, makeRebuildScene } from '../../support/rebuild-scene.js';

afterEach(destroyRebuildScenes);
afterAll(destroyAllClusters);

test('a standby that follows through the slot is named and goes on; when it has stopped, the slot is free', async () => {
  const { deps, dallas, chicago } = await makeRebuildScene();
  const user = async (): Promise<unknown> => dallas.query('select active_pid from pg_replication_slots');
  const before = await user();
  await expect(waitForIdleSlot(deps, 'lab', 'dallas', 'chicago', 200)).rejects.toMatchObject({
    type: 'PreconditionFailed',
    message: expect.stringMatching(/^slot chicago of dallas is in use by \S+ at \S+ \(walsender \d+\)$/) as unknown,
  });
  expect(await user()).toEqual(before);
  await chicago.stop('fast');
  await waitForIdleSlot(deps, 'lab', 'dallas', 'chicago');
});
