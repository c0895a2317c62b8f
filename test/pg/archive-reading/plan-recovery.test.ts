/**
 * Scenario: the activities planRecovery and readWindow against a live primary that archives. Verified: a target of just now is planned by handing over
 * the newest WAL; refusals come before anything is fetched; without a primary the plan still comes, with a warning; the hash binds it.
 */
import { mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';

import { lastCommit } from '../../../activities/backup-store/last-commit.js';
import { resolveTarget } from '../../../activities/backup-store/resolve-target.js';
import { computeWindow } from '../../../activities/backup-store/window.js';
import type { BackupStore } from '../../../activities/lib/backup-store.js';
import type { ActivityDeps } from '../../../activities/lib/deps.js';
import { createPlanRecovery } from '../../../activities/postgres/plan-recovery.js';
import { createReadWindow } from '../../../activities/postgres/read-window.js';
import { planHashOf } from '../../../shared/plan-hash.js';
import type { TargetSpec } from '../../../shared/target-time.js';
import { commit, serverTime, startArchive, takeFakeBase, type TestArchive } from '../../support/archive.js';

describe('planning a recovery', () => {
  let archive: TestArchive;
  let deps: ActivityDeps;
  let stateDir = '';

  const plan = (target: TargetSpec, requestedAt = new Date(Date.now() + 1000).toISOString()) =>
    createPlanRecovery(deps)({ environment: 'test', host: 'h1', target, requestedAt });

  beforeAll(async () => {
    archive = await startArchive();
    const { cluster, objects, context } = archive;
    stateDir = path.join(objects.root, 'state');
    await mkdir(stateDir);
    const store = {
      kind: 'test',
      window: (input) => computeWindow(context, input),
      resolveTarget: (input) => resolveTarget(context, input),
      lastCommit: (input) => lastCommit(context, input),
      walPresence: async (name) => ((await objects.head(`wal/${name}`)) === null ? 'missing' : 'found'),
    } as Partial<BackupStore> as BackupStore;
    const node = (name: string, port: number) => ({
      name,
      host: 'h1',
      address: '127.0.0.1',
      port,
      dataDir: cluster.dataDir,
      binDir: cluster.binDir,
      runtime: { kind: 'process' },
    });
    deps = {
      config: {
        stateDir,
        environments: {
          test: {
            postgres: { user: 'postgres', database: 'postgres' },
            nodes: [node('dallas', cluster.port), node('chicago', 1)],
            backups: { kind: 's3' },
            otherBackups: {},
            sandbox: { dir: path.join(objects.root, 'sandboxes') },
          },
        },
      },
      resolveSecret: () => Promise.resolve(''),
      store: () => Promise.resolve(store),
    } as unknown as ActivityDeps;
    await cluster.query('create table t (id int)');
    await takeFakeBase(archive, { id: 'b1' });
  });

  afterAll(async () => {
    await archive.destroy();
  });

  test('a target of a moment ago is planned: the primary hands over its newest wal', async () => {
    const good = await commit(archive.cluster, 'insert into t values (1)');
    const bad = await commit(archive.cluster, 'insert into t values (2)');
    const planned = await plan({ kind: 'time', value: good.after });
    expect(planned.boundary.kept?.xid).toBe(good.xid);
    expect(planned.boundary.dropped?.xid).toBe(bad.xid);
    expect(planned).toMatchObject({
      timeline: 1,
      host: 'h1',
      systemIdentifier: expect.any(String) as string,
      minimumSettings: { maxConnections: 100, maxWalSenders: 8, maxPreparedTransactions: 4 },
      space: { path: path.join(archive.objects.root, 'sandboxes') },
    });
    expect(planned.space.needBytes).toBeGreaterThan(256 * 1024 * 1024);
    expect(planned.hash).toBe(planHashOf(planned));
    expect(await readdir(stateDir)).toEqual([]);
  });

  test('nothing was committed after the target: an empty transaction of the planner proves it', async () => {
    const last = await commit(archive.cluster, 'insert into t values (3)');
    const planned = await plan({ kind: 'time', value: await serverTime(archive.cluster) });
    expect(planned.boundary.kept?.xid).toBe(last.xid);
    expect(planned.warnings.join()).toContain('is an empty one of this planner');
  });

  test('latest is everything that the primary has', async () => {
    const last = await commit(archive.cluster, 'insert into t values (4)');
    const planned = await plan({ kind: 'latest' });
    expect(planned.boundary).toMatchObject({ kept: { xid: last.xid }, dropped: null });
  });

  test('an xid that is not archived yet is found after the hand-over, one that never was is refused', async () => {
    const last = await commit(archive.cluster, 'insert into t values (5)');
    expect((await plan({ kind: 'before-xid', value: last.xid })).boundary.dropped?.xid).toBe(last.xid);
    await expect(plan({ kind: 'xid', value: '99999999' })).rejects.toMatchObject({ type: 'TargetNotRecoverable' });
  });

  test('a target in the future and an unknown environment are refused at once', async () => {
    const before = (await readdir(archive.walDir)).length;
    await expect(plan({ kind: 'time', value: '2999-01-01T00:00:00.000000Z' })).rejects.toMatchObject({
      type: 'TargetNotRecoverable',
      message: expect.stringContaining('in the future') as string,
    });
    expect((await readdir(archive.walDir)).length).toBe(before);
    await expect(
      createPlanRecovery(deps)({ environment: 'nope', host: 'h1', target: { kind: 'latest' }, requestedAt: '' }),
    ).rejects.toMatchObject({ type: 'EnvironmentUnknown' });
  });

  test('a file system that is too small is refused before anything is fetched', async () => {
    const header = await archive.objects.get('bases/b1/base.json');
    const huge = JSON.parse(header.toString()) as { sizes: { restoredBytes: number } };
    huge.sizes.restoredBytes = 1e15;
    await archive.objects.put('bases/b1/base.json', Buffer.from(JSON.stringify(huge)));
    try {
      await expect(plan({ kind: 'immediate' })).rejects.toMatchObject({
        type: 'SpaceMissing',
        message: expect.stringContaining('needs 1001') as string,
      });
    } finally {
      await archive.objects.put('bases/b1/base.json', header);
    }
  });

  test('bases of another system are refused while the primary lives', async () => {
    const header = await archive.objects.get('bases/b1/base.json');
    const foreign = { ...(JSON.parse(header.toString()) as object), systemIdentifier: '42' };
    await archive.objects.put('bases/b1/base.json', Buffer.from(JSON.stringify(foreign)));
    try {
      await expect(plan({ kind: 'latest' })).rejects.toMatchObject({ type: 'IdentityMismatch' });
    } finally {
      await archive.objects.put('bases/b1/base.json', header);
    }
  });

  test('an answer about another system than that of the live primary does not come through, whatever the store thinks', async () => {
    const store = await deps.store('test');
    const mistaken: BackupStore = {
      ...store,
      resolveTarget: async (input) => ({ ...(await store.resolveTarget(input)), systemIdentifier: '42' }),
    };
    const planned = createPlanRecovery({ ...deps, store: () => Promise.resolve(mistaken) })({
      environment: 'test',
      host: 'h1',
      target: { kind: 'latest' },
      requestedAt: new Date(Date.now() + 1000).toISOString(),
    });
    await expect(planned).rejects.toMatchObject({
      type: 'IdentityMismatch',
      message: expect.stringContaining('the bases are of system 42') as string,
    });
  });

  test('the window tells which nodes do not answer', async () => {
    const window = await createReadWindow(deps)({ environment: 'test' });
    expect(window.warnings).toEqual([expect.stringContaining('chicago does not answer')]);
    expect(window.bases[0]?.usable).toBe(true);
  });

  test('an archive that does not take the segment is named, and the target stays refused', async () => {
    await archive.cluster.query(`alter system set archive_command = 'false'`);
    await archive.cluster.query('select pg_reload_conf()');
    try {
      const now = await serverTime(archive.cluster);
      await expect(plan({ kind: 'time', value: now })).rejects.toMatchObject({
        type: 'TargetNotRecoverable',
        message: expect.stringContaining('did not reach the archive') as string,
      });
    } finally {
      await archive.cluster.query('alter system reset archive_command');
      await archive.cluster.query('select pg_reload_conf()');
    }
  }, 60_000);

  test('without any primary the plan comes from the archive, with a warning and the settings of the data directory', async () => {
    await archive.cluster.stop();
    const window = await createReadWindow(deps)({ environment: 'test' });
    const planned = await plan({ kind: 'time', value: window.latest! });
    expect(planned.warnings[0]).toContain('no primary answers');
    expect(planned.minimumSettings.maxConnections).toBe(100);
    await expect(plan({ kind: 'time', value: new Date().toISOString().replace('Z', '000Z') })).rejects.toMatchObject({
      type: 'TargetNotRecoverable',
      message: expect.stringContaining(window.lastCommit!.time) as string,
    });
  });
});
