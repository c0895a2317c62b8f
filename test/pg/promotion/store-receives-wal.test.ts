/**
 * Scenario: production does not archive; the backup store streams its WAL (here with a real pg_receivewal, as a Databasus controller does), and is paused
 * while production is replaced. Verified: the promotion asks for no archive_command, the tail of the old history is in the store, and the
 * new timeline is proven there before the run is complete.
 */
import { existsSync } from 'node:fs';
import { chown, copyFile, mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';

import * as promotion from '../../../activities/postgres/promotion/index.js';
import { checkArchiver } from '../../../activities/postgres/checks/check-archive.js';
import { createVerifyWrites } from '../../../activities/routing/verify-writes.js';
import type { BackupStore } from '../../../activities/lib/backup-store.js';
import type { ActivityDeps } from '../../../activities/lib/deps.js';
import { isSegmentName } from '../../../shared/timeline.js';
import { destroyAllClusters } from '../../support/cluster.js';
import { startPeer, type PeerProcess } from '../../support/peer-process.js';
import { destroyAllScenes, makeScene, type Scene } from '../../support/promotion-scene.js';

jest.setTimeout(180_000);

const RUN = 'aaaaaaaa-2222';
const RECEIVER = 'databasus_wal_receiver_';
const receivers: PeerProcess[] = [];

afterAll(async () => {
  for (const receiver of receivers.splice(0)) await receiver.stop('SIGKILL');
  await destroyAllScenes();
  await destroyAllClusters();
});

/** What the controller runs: `<segment>.partial` while it is written, then the plain name. */
async function receive({ dallas, dir }: Scene, walDir: string): Promise<PeerProcess> {
  const connection = `${dallas.url}?application_name=${RECEIVER}test`;
  const receiver = await startPeer({
    program: path.join(dallas.binDir, 'pg_receivewal'),
    args: ['-d', connection, '-D', walDir, '--no-loop'],
    log: path.join(dir, 'receiver.log'),
    runAs: dallas.owner,
    ready: async () => {
      const rows = await dallas.query<{ n: number }>(
        `select count(*)::int n from pg_stat_replication where starts_with(application_name, '${RECEIVER}')`,
      );
      return rows[0]?.n === 1;
    },
  });
  receivers.push(receiver);
  return receiver;
}

test('a promotion needs no archive_command of production where the store receives the wal itself', async () => {
  const scene = await makeScene({ standby: false, archive: false });
  const wal = path.join(scene.dallas.dataDir, 'pg_wal');
  for (const name of (await readdir(wal)).filter(isSegmentName).sort().slice(0, -1)) {
    await copyFile(path.join(wal, name), path.join(scene.store.walDir, name));
    await chown(path.join(scene.store.walDir, name), scene.dallas.owner.uid, scene.dallas.owner.gid);
  }
  const first = await receive(scene, scene.store.walDir);
  // The old history goes on behind the point where the new one begins: a receiver cannot follow that in the directory that has the old one.
  const newDir = path.join(scene.dir, 'new-timeline');
  const store: BackupStore = {
    ...scene.store,
    walReceiver: RECEIVER,
    walPresence: async (name) => (existsSync(path.join(newDir, name)) ? 'found' : scene.store.walPresence(name)),
  };
  const deps: ActivityDeps = { ...scene.deps, store: () => Promise.resolve(store) };
  const [node] = scene.config.environments['lab']!.nodes;
  expect(await checkArchiver(deps, 'lab', node!)).toMatchObject([{ check: 'wal-receiver', ok: true }]);

  const { ref, plan } = await scene.makeSandbox('stream');
  const dallas = scene.step('dallas', RUN);
  await promotion.createPlanPromotion(deps)({ environment: 'lab', run: 'lab/change', runId: RUN, ref, plan });
  const tail = await promotion.createCaptureTail(deps)(dallas);
  expect(tail).toMatchObject({ outcome: 'captured' });
  await expect(store.walPresence(tail.lastSegment!)).resolves.toBe('found');

  // Backups are paused: nobody receives what the private server writes.
  await first.stop('SIGINT');
  await promotion.createFenceNode(deps)(dallas);
  await promotion.createKeepOldData(deps)(dallas);
  await promotion.createSwapIn(deps)({ ...dallas, ref });
  const ended = await promotion.createEndRecovery(deps)({ ...dallas, ref, plan });
  expect(ended).toMatchObject({ outcome: 'promoted', timeline: 2, historyArchived: false });
  expect(await promotion.createEndRecovery(deps)({ ...dallas, ref, plan })).toMatchObject({
    outcome: 'already-promoted',
  });
  await promotion.createStartNode(deps)(dallas);
  const writes = { environment: 'lab', expectNode: 'dallas', expectTimeline: 2 };
  expect((await createVerifyWrites(deps)(writes)).checks.filter(({ ok }) => !ok)).toEqual([]);
  expect(await scene.dallas.query('select count(*)::int n from orders')).toEqual([{ n: 1010 }]);

  await mkdir(newDir);
  await chown(newDir, scene.dallas.owner.uid, scene.dallas.owner.gid);
  await receive(scene, newDir);
  const baseline = await promotion.createRebaseline(deps)(dallas);
  expect(baseline).toMatchObject({ timeline: 2, archivedSegment: expect.stringMatching(/^00000002/) as string });
  await expect(store.walPresence(baseline.archivedSegment)).resolves.toBe('found');
});

test('a store that servers archive into still refuses a production that does not', async () => {
  const scene = await makeScene({ standby: false, archive: false });
  const dallas = scene.step('dallas', RUN);
  await expect(promotion.createCaptureTail(scene.deps)(dallas)).rejects.toMatchObject({ type: 'ArchiveFailing' });
});
