/**
 * Scenario: the team of a Barman that only streams (no archive_command anywhere) recovers to before a mistake and makes the sandbox production. Verified: (1) the
 * rows are back; (2) what only the old history had is still in the archive; (3) re-baseline gives the new cluster its slot, a receiver on the new timeline, the
 * history of it in Barman and a backup; (4) asked twice it takes one backup; (5) a time on the new timeline and one on the old can both be planned.
 */
import { pollUntil } from '../../activities/lib/poll.js';
import * as promotion from '../../activities/postgres/promotion/index.js';
import { requireControlData } from '../../activities/postgres/control-data.js';
import type { NodeStepInput } from '../../shared/contracts/promotion.js';
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import { commit } from '../support/archive.js';
import { destroyAllBarmans, SERVER, startBarman, type TestBarman } from '../support/barman.js';
import { makeStoreScene, type StoreScene } from '../support/barman-scene.js';
import { destroyAllClusters, startCluster, type Cluster } from '../support/cluster.js';
import { buildPrograms, type Programs } from '../pg/backup-store/programs.js';

jest.setTimeout(180_000);

let programs: Programs;
let production: Cluster;
let barman: TestBarman;
let scene: StoreScene;
let plan: RecoveryPlan;
let mistakeAt = '';

const RUN = 'cccccccc-1111-4000-8000-000000000000';

async function step(): Promise<NodeStepInput> {
  const { systemIdentifier } = await requireControlData(production.binDir, production.dataDir);
  const expect = { systemIdentifier, dataDir: production.dataDir, host: 'here' };
  return { environment: 'shop', node: 'dallas', run: 'shop/change', runId: RUN, expect };
}

beforeAll(async () => {
  programs = await buildPrograms();
  production = await startCluster({ conf: ['archive_mode = off', 'autovacuum = off'] });
  barman = await startBarman(production);
  scene = await makeStoreScene(production, programs.dir, { kind: 'barman', server: SERVER, command: barman.command });
  await production.query('create table orders (id serial primary key, note text)');
  await production.query("insert into orders (note) select 'order' from generate_series(1, 1000)");
  await barman.backup();
  const good = await commit(production, "insert into orders (note) values ('kept') returning 1");
  mistakeAt = (await commit(production, "update orders set note = 'mistake' returning 1")).after;
  // Also segments of the old history behind the fork: the receiver's position is of no use to the new timeline.
  await barman.switchWal();
  await production.query("insert into orders (note) values ('after the mistake')");
  await barman.switchWal();
  await production.query("insert into orders (note) values ('in the last segment')");
  const ref = scene.ref('promoted');
  plan = await scene.plan({ kind: 'time', value: good.after });
  await scene.recover(ref, plan);
  const input = await step();
  await promotion.createPlanPromotion(scene.deps)({ ...input, ref, plan });
  await promotion.createCaptureTail(scene.deps)(input);
  await (await scene.deps.store('shop')).pause(RUN);
  await promotion.createFenceNode(scene.deps)(input);
  await promotion.createKeepOldData(scene.deps)(input);
  await promotion.createSwapIn(scene.deps)({ ...input, ref });
  const ended = await promotion.createEndRecovery(scene.deps)({ ...input, ref, plan });
  expect(ended).toMatchObject({ outcome: 'promoted', timeline: 2, historyArchived: false });
  expect(await promotion.createEndRecovery(scene.deps)({ ...input, ref, plan })).toMatchObject({
    outcome: 'already-promoted',
  });
  await promotion.createStartNode(scene.deps)(input);
}, 300_000);

afterAll(async () => {
  await destroyAllBarmans();
  await destroyAllClusters();
  await scene.remove();
  await programs.remove();
}, 60_000);

test('the rows are back and the mistake is not', async () => {
  const [row] = await production.query<{ all: number; wrong: number }>(
    "select count(*)::int as all, (count(*) filter (where note <> 'order' and note <> 'kept'))::int as wrong from orders",
  );
  expect(row).toEqual({ all: 1001, wrong: 0 });
});

test('re-baseline brings slot, receiver, history and a backup on the new timeline; a second call takes no second backup', async () => {
  const input = await step();
  const first = await promotion.createRebaseline(scene.deps)(input);
  expect(first).toMatchObject({ timeline: 2 });
  const again = await promotion.createRebaseline(scene.deps)(input);
  expect(again.baseId).toBe(first.baseId);
  const slots = await production.query('select slot_name, active from pg_replication_slots');
  expect(slots).toEqual([{ slot_name: 'barman', active: true }]);
  const files = await barman.walFiles();
  expect(files.some((name) => name.endsWith('/00000002.history'))).toBe(true);
  expect(files.filter((name) => /^streaming\/00000001.*\.partial$/.test(name))).toEqual([]);
  const store = await scene.deps.store('shop');
  const settled = await pollUntil(
    async () => {
      await barman.run('cron');
      return (await store.check()).every(({ ok }) => ok) ? true : null;
    },
    { timeoutMs: 60_000, everyMs: 1_000 },
  );
  expect(settled).toBe(true);
});

test('both histories can be reached: what was given up, and what was written since', async () => {
  const { after } = await commit(production, "insert into orders (note) values ('on the new timeline') returning 1");
  await production.query("insert into orders (note) values ('later')");
  const now = await scene.plan({ kind: 'time', value: after });
  expect(now.timeline).toBe(2);
  const ref = scene.ref('again');
  const port = await scene.recover(ref, now);
  expect(await scene.query(port, 'select count(*)::int as all from orders')).toEqual([{ all: 1002 }]);
  await scene.discard(ref);
  // The time of the mistake lies behind the fork: production's line does not hold it any more, and the refusal is not a silent other answer.
  const between = await scene.plan({ kind: 'time', value: mistakeAt });
  expect(between.boundary.kept!.time <= plan.boundary.kept!.time).toBe(true);
  const names = await barman.walFiles();
  const segmentsOfOld = names.filter((name) => /\/00000001[0-9A-F]{16}(\.partial)?$/.test(name));
  expect(segmentsOfOld.length).toBeGreaterThan(3);
});

test('undone, production is on its old timeline again and barman follows it', async () => {
  const input = await step();
  await promotion.createFenceNode(scene.deps)(input);
  await promotion.createSwapOut(scene.deps)(input);
  await promotion.createReturnOldData(scene.deps)(input);
  const store = await scene.deps.store('shop');
  expect(await store.abandonTimeline(2, RUN)).toBe('marked');
  expect(await promotion.createStartNode(scene.deps)(input)).toMatchObject({ role: 'primary', timeline: 1 });
  expect(await store.resume(RUN)).toMatchObject({ outcome: 'resumed' });
  const [row] = await production.query<{ all: number }>('select count(*)::int as all from orders');
  expect(row!.all).toBe(1003);
  const segment = await barman.switchWal();
  expect(segment.startsWith('00000001')).toBe(true);
  // What was received of the timeline that was given up is not lost.
  expect((await barman.walFiles()).some((name) => /^wals\/00000002.*\.partial$/.test(name))).toBe(true);
});
