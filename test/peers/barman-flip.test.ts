/**
 * Scenario: a pair whose WAL only Barman has, by streaming (no archive_command anywhere), flips. Verified: (1) the flip is not refused for want of an
 * archive_command; (2) its end brings the slot and the receiver to the new primary, and nothing between the two histories is missing; (3) done twice it is the
 * same; (4) a Barman that cannot reach the new primary is an error that says so, not silence.
 */
import { createBackfillArchive } from '../../activities/postgres/flip/backfill-archive.js';
import { createFlipWrites } from '../../activities/postgres/flip/flip-writes.js';
import { createBarmanStore } from '../../activities/backup-store/barman/store.js';
import { parseSegmentName } from '../../shared/timeline.js';
import { destroyAllBarmans, SERVER, startBarman } from '../support/barman.js';
import { destroyAllFlipScenes, makeFlipScene } from '../support/flip-scene.js';

jest.setTimeout(240_000);
afterEach(async () => {
  await destroyAllBarmans();
  await destroyAllFlipScenes();
}, 60_000);

const RUN = { environment: 'lab', run: 'lab/change', runId: 'r1' };

async function makePair(follows = true) {
  const scene = await makeFlipScene({ conf: ['archive_mode = off'] });
  const barman = await startBarman(scene.dallas, follows ? { peer: scene.chicago } : {});
  const store = createBarmanStore({
    config: { kind: 'barman', server: SERVER, command: barman.command },
    environment: 'lab',
    program: scene.deps.program,
  });
  const deps = { ...scene.deps, store: () => Promise.resolve(store) };
  return { scene, barman, store, deps };
}

test('the receiver follows the flip, and no segment is missing between the histories', async () => {
  const { scene, barman, store, deps } = await makePair();
  await scene.dallas.query('insert into orders select generate_series(1, 1000)');
  const before = await barman.switchWal();
  await scene.dallas.query('insert into orders select generate_series(1001, 2000)');
  const input = await scene.flipInput('r1', {}, deps);
  const result = await createFlipWrites(deps)(input);
  expect(result).toMatchObject({ outcome: 'flipped', timeline: 2 });

  const backfill = { ...RUN, node: 'chicago', fromTimeline: 1, switchLsn: result.switchLsn };
  const archived = await createBackfillArchive(deps)(backfill);
  expect(archived.checks.filter(({ ok }) => !ok)).toEqual([]);
  expect(await store.walPresence('00000002.history')).toBe('found');
  expect(await scene.chicago.query('select slot_name, active from pg_replication_slots')).toEqual(
    expect.arrayContaining([{ slot_name: 'barman', active: true }]),
  );
  // From the last segment before the flip on there is one of every number, on one of the two timelines.
  const held = (await barman.walFiles()).map((name) => parseSegmentName(name.replace(/^.*\//, '').slice(0, 24)));
  const numbers = new Set(held.flatMap((segment) => (segment === null ? [] : [segment.number])));
  const first = parseSegmentName(before)!.number;
  const last = parseSegmentName(archived.firstOnNewTimeline)!.number;
  for (let number = first; number <= last; number += 1n) expect([number, numbers.has(number)]).toEqual([number, true]);

  await expect(createBackfillArchive(deps)(backfill)).resolves.toMatchObject({ pushed: [] });
});

test('a barman that knows only the old primary is named, with what to do', async () => {
  const { scene, store, deps } = await makePair(false);
  const result = await createFlipWrites(deps)(await scene.flipInput('r1', {}, deps));
  const backfill = { ...RUN, node: 'chicago', fromTimeline: 1, switchLsn: result.switchLsn };
  await expect(createBackfillArchive(deps, 3_000)(backfill)).rejects.toMatchObject({
    type: 'ArchiveFailing',
    message: expect.stringMatching(/does not follow chicago \(barman cannot reach the server/) as string,
  });
  expect(await store.walPresence('00000002.history')).toBe('missing');
});
