/**
 * Scenario: production was recovered once, so its archive has two timelines, and the old one went on for a while. Verified: targets are resolved on the
 * history that production has now, the WAL that the old timeline wrote later is not part of it, and abandoned timelines are left out.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { lastCommit } from '../../../activities/backup-store/last-commit.js';
import { resolveTarget } from '../../../activities/backup-store/resolve-target.js';
import { computeWindow } from '../../../activities/backup-store/window.js';
import { runProgramOrFail } from '../../../activities/lib/exec.js';
import { pollUntil } from '../../../activities/lib/poll.js';
import { runAsOwner } from '../../../activities/postgres/data-directory.js';
import type { TargetSpec } from '../../../shared/target-time.js';
import { commit, startArchive, switchWal, takeFakeBase, type TestArchive } from '../../support/archive.js';
import { appendConf, describeCluster, destroyAllClusters, serverDirectory } from '../../support/cluster.js';
import { freePort } from '../../support/ports.js';

describe('an archive with two timelines', () => {
  let archive: TestArchive;
  let onNew: TestArchive;
  let scratch = 0;
  const at: Record<string, { xid: string; after: string }> = {};

  const where = () => ({
    environment: 'test',
    scratchDir: `${archive.scratchDir}-${String((scratch += 1))}`,
    binDir: archive.cluster.binDir,
    live: null,
  });
  const resolve = (target: TargetSpec) =>
    resolveTarget(archive.context, { ...where(), target, requestedAt: new Date().toISOString() });

  beforeAll(async () => {
    archive = await startArchive();
    const { cluster } = archive;
    await cluster.query('create table t (id int)');
    const dir = await serverDirectory();
    const dataDir = path.join(dir, 'data');
    await takeFakeBase(archive, { id: 'b1' });
    await runProgramOrFail(
      path.join(cluster.binDir, 'pg_basebackup'),
      ['-d', cluster.url, '-D', dataDir, '-X', 'none', '-c', 'fast', '--no-sync'],
      runAsOwner(cluster.owner),
    );
    at['kept'] = await commit(cluster, 'insert into t values (1)');
    at['dropped'] = await commit(cluster, 'insert into t values (2)');
    await switchWal(archive);
    at['oldWorld'] = await commit(cluster, 'insert into t values (3)');
    await switchWal(archive);
    const { stop } = await resolve({ kind: 'xid', value: at['kept'].xid });
    if (stop.kind !== 'lsn') throw new Error('no lsn');
    // Recovered and promoted into the same archive, as production would be.
    const port = await freePort();
    const promoted = describeCluster({ dir, dataDir, port, binDir: cluster.binDir, owner: cluster.owner });
    await writeFile(path.join(dataDir, 'recovery.signal'), '');
    await appendConf(promoted, [
      `port = ${String(port)}`,
      `restore_command = 'cp ${archive.walDir}/%f %p'`,
      `recovery_target_lsn = '${stop.lsn}'`,
      `recovery_target_action = promote`,
    ]);
    await promoted.start();
    const open = await pollUntil(
      async () =>
        (await promoted.query<{ r: boolean }>('select pg_is_in_recovery() r'))[0]?.r === false ? true : null,
      { timeoutMs: 20_000 },
    );
    expect(open).toBe(true);
    onNew = { ...archive, cluster: promoted };
    at['newWorld'] = await commit(promoted, 'insert into t values (10)');
    await switchWal(onNew);
  });

  afterAll(async () => {
    await destroyAllClusters();
    await archive.destroy();
  });

  test('the window follows the newest timeline and says that it guessed', async () => {
    const window = await computeWindow(archive.context, where());
    expect(window).toMatchObject({
      timeline: 2,
      holes: [],
      warnings: [expect.stringContaining('timeline 2 is taken')],
    });
    expect(window.latest! > at['newWorld']!.after).toBe(true);
  });

  test('a target after the switch runs over both timelines', async () => {
    const { boundary, timeline, fetch, baseChain } = await resolve({ kind: 'xid', value: at['newWorld']!.xid });
    expect((boundary.kept?.time ?? '') <= at['newWorld']!.after).toBe(true);
    expect((boundary.kept?.time ?? '') > at['oldWorld']!.after).toBe(true);
    expect([timeline, baseChain[0]?.id]).toEqual([2, 'b1']);
    expect(fetch.firstSegment.slice(0, 8)).toBe('00000001');
    expect(fetch.lastSegment.slice(0, 8)).toBe('00000002');
  });

  test('what the old timeline wrote after it was left is not part of the history', async () => {
    const { boundary } = await resolve({ kind: 'time', value: at['oldWorld']!.after });
    expect(boundary.kept?.xid).toBe(at['kept']!.xid);
    expect((boundary.dropped?.time ?? '') > at['oldWorld']!.after).toBe(true);
  });

  test('a target before the switch recovers on the timeline that it lies on', async () => {
    const { boundary, timeline, fetch } = await resolve({ kind: 'time', value: at['kept']!.after });
    expect(boundary.kept?.xid).toBe(at['kept']!.xid);
    expect(timeline).toBe(1);
    expect(fetch.lastSegment.slice(0, 8)).toBe('00000001');
  });

  test('a live primary on the old timeline is believed more than the archive', async () => {
    const [row] = await archive.cluster.query<{ id: string }>(
      'select system_identifier::text id from pg_control_system()',
    );
    const live = { systemIdentifier: row!.id, timeline: 1, currentLsn: '0/1' as never };
    const window = await computeWindow(archive.context, { ...where(), live });
    expect([window.timeline, window.warnings]).toEqual([1, []]);
    const { boundary } = await resolveTarget(archive.context, {
      ...where(),
      live,
      target: { kind: 'xid', value: at['oldWorld']!.xid },
      requestedAt: new Date().toISOString(),
    });
    expect(boundary.kept?.xid).toBe(at['oldWorld']!.xid);
  });

  test('an abandoned timeline is not production', async () => {
    await mkdir(path.join(archive.objects.root, 'abandoned'), { recursive: true });
    const copy = path.join(archive.objects.root, 'abandoned', '00000002.json');
    await writeFile(copy, '{}');
    const window = await computeWindow(archive.context, where());
    expect([window.timeline, window.warnings]).toEqual([1, []]);
    await rm(copy);
  });

  test('a missing history file is said, a damaged one is refused', async () => {
    const key = 'wal/00000002.history';
    const good = await archive.objects.get(key);
    await archive.objects.put(key, Buffer.from('nonsense\n'));
    await expect(computeWindow(archive.context, where())).rejects.toMatchObject({
      type: 'WalCorrupt',
      message: expect.stringContaining('00000002.history') as string,
    });
    await rm(path.join(archive.objects.root, key));
    const window = await computeWindow(archive.context, where());
    expect(window.warnings.join()).toContain('00000002.history is missing');
    expect(window.bases[0]?.usable).toBe(false);
    await archive.objects.put(key, good);
  });

  test('the last commit of a timeline is asked for by its number', async () => {
    const input = { scratchDir: where().scratchDir, binDir: archive.cluster.binDir, walSegmentBytes: 16 * 1024 * 1024 };
    const first = await lastCommit(archive.context, { ...input, timeline: 1 });
    const second = await lastCommit(archive.context, { ...input, timeline: 2, scratchDir: where().scratchDir });
    expect((first?.time ?? 'z') < (second?.time ?? '')).toBe(true);
  });
});
