/**
 * Scenario: archives that are not whole. Verified: a hole, a damaged, short or foreign segment, an idle tail and a half-written newest segment
 * are told apart, named, and never taken for "nothing there".
 */
import { copyFile, open, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { lastCommit } from '../../../activities/backup-store/last-commit.js';
import { resolveTarget } from '../../../activities/backup-store/resolve-target.js';
import { computeWindow } from '../../../activities/backup-store/window.js';
import type { WindowResult } from '../../../shared/contracts/plan.js';
import type { TargetSpec } from '../../../shared/target-time.js';
import {
  commit,
  currentLsn,
  serverTime,
  startArchive,
  switchWal,
  takeFakeBase,
  type TestArchive,
} from '../../support/archive.js';

describe('reading a damaged archive', () => {
  let archive: TestArchive;
  let binDir = '';
  let scratch = 0;
  /** Archived segments in order, with a commit in each and the server's time after it. */
  const segments: { name: string; xid: string; after: string }[] = [];

  const where = () => ({
    environment: 'test',
    scratchDir: `${archive.scratchDir}-${String((scratch += 1))}`,
    binDir,
    live: null,
  });
  const window = (): Promise<WindowResult> => computeWindow(archive.context, where());
  const resolve = (target: TargetSpec) =>
    resolveTarget(archive.context, { ...where(), target, requestedAt: new Date().toISOString() });
  const file = (name: string): string => path.join(archive.walDir, name);
  /** Runs `work` on an archive that `damage` has changed, and puts the segment back. */
  const withDamage = async (name: string, damage: (file: string) => Promise<void>, work: () => Promise<void>) => {
    await copyFile(file(name), `${archive.objects.root}/saved`);
    try {
      await damage(file(name));
      await work();
    } finally {
      await rm(file(name), { force: true });
      await rename(`${archive.objects.root}/saved`, file(name));
    }
  };

  beforeAll(async () => {
    archive = await startArchive();
    binDir = archive.cluster.binDir;
    await archive.cluster.query('create table t (id int)');
    await takeFakeBase(archive, { id: 'early' });
    for (let number = 0; number < 4; number += 1) {
      const { xid, after } = await commit(archive.cluster, 'insert into t values (1)');
      segments.push({ name: await switchWal(archive), xid, after });
    }
    await takeFakeBase(archive, { id: 'late' });
    const { xid, after } = await commit(archive.cluster, 'insert into t values (1)');
    segments.push({ name: await switchWal(archive), xid, after });
  });

  afterAll(async () => {
    await archive.destroy();
  });

  test('a hole is named with the last target before it and the first after it, and only targets inside are refused', async () => {
    const [before, missing] = segments;
    await withDamage(missing!.name, rm, async () => {
      const { holes, bases, latest, earliest } = await window();
      expect(bases.map(({ id, usable }) => [id, usable])).toEqual([
        ['early', true],
        ['late', true],
      ]);
      expect(holes).toHaveLength(1);
      expect(holes[0]).toMatchObject({ timeline: 1, firstMissing: missing!.name, lastMissing: missing!.name });
      expect(holes[0]!.from > before!.after).toBe(true); // the marker commit of the switch
      expect(holes[0]!.to).toBe(bases[1]!.endedAt);
      expect(latest! > holes[0]!.to && earliest! < holes[0]!.from).toBe(true);
      await expect(resolve({ kind: 'time', value: segments[2]!.after })).rejects.toMatchObject({
        type: 'TargetInHole',
        message: expect.stringContaining(missing!.name) as string,
        details: [{ hint: expect.stringContaining(holes[0]!.from) as string, next: expect.any(Array) as string[] }],
      });
      await expect(resolve({ kind: 'xid', value: segments[2]!.xid })).rejects.toMatchObject({ type: 'TargetInHole' });
      const kept = await resolve({ kind: 'time', value: before!.after });
      expect([kept.boundary.kept?.xid, kept.baseChain[0]?.id, kept.lost.exact]).toEqual([before!.xid, 'early', false]);
      expect((await resolve({ kind: 'time', value: holes[0]!.from })).boundary.kept?.time).toBe(holes[0]!.from);
      expect((await resolve({ kind: 'latest' })).baseChain[0]?.id).toBe('late');
    });
  });

  test('wal behind a hole without a base after it cannot be reached, and the window ends before the hole', async () => {
    await withDamage(segments[4]!.name, rm, async () => {
      await rename(`${archive.objects.root}/bases/late`, `${archive.objects.root}/late`);
      try {
        await switchWal(archive);
        const { latest, holes } = await window();
        expect(holes).toHaveLength(1);
        expect(latest).toBe(holes[0]!.from);
        await expect(resolve({ kind: 'time', value: await serverTime(archive.cluster) })).rejects.toMatchObject({
          type: 'TargetInHole',
          message: expect.stringContaining('no base after it') as string,
        });
      } finally {
        await rename(`${archive.objects.root}/late`, `${archive.objects.root}/bases/late`);
      }
    });
  });

  test('a base whose own wal is missing is not usable, and the window says which segment', async () => {
    const { bases } = await window();
    const first = `0000000100000000${bases[0]!.startLsn.split('/')[1]!.slice(0, -6).padStart(8, '0')}`;
    await withDamage(first, rm, async () => {
      const again = await window();
      expect(again.bases[0]).toMatchObject({ usable: false, why: expect.stringContaining(first) as string });
      expect(again.earliest).toBe(bases[1]!.endedAt);
      await expect(resolve({ kind: 'time', value: segments[0]!.after })).rejects.toMatchObject({
        type: 'TargetNotRecoverable',
        message: expect.stringContaining('before the window') as string,
      });
    });
  });

  test('flipped bytes in a record are wal corruption that names the segment', async () => {
    const point = (await resolve({ kind: 'xid', value: segments[2]!.xid })).boundary.kept!;
    const offset = Number(BigInt(`0x${point.lsn.split('/')[1]!}`) % BigInt(16 * 1024 * 1024));
    const flip = async (target: string) => {
      const handle = await open(target, 'r+');
      await handle.write(Buffer.from([0xff, 0xff, 0xff]), 0, 3, offset + 26);
      await handle.close();
    };
    await withDamage(segments[2]!.name, flip, async () => {
      await expect(resolve({ kind: 'xid', value: segments[2]!.xid })).rejects.toMatchObject({
        type: 'WalCorrupt',
        message: expect.stringContaining(segments[2]!.name) as string,
      });
    });
  });

  test.each([
    ['a truncated segment', (target: string) => truncate(target, 1_000_000)],
    ['an empty segment', (target: string) => truncate(target, 0)],
    ['zeros', (target: string) => writeFile(target, Buffer.alloc(16 * 1024 * 1024))],
    ['the content of another segment', (target: string) => copyFile(file(segments[0]!.name), target)],
    [
      'a segment of another cluster',
      async (target: string) => {
        const bytes = await readFile(target);
        bytes.writeBigUInt64LE(1n, 24);
        await writeFile(target, bytes);
      },
    ],
    [
      'a zeroed page in the middle',
      async (target: string) => {
        const bytes = await readFile(target);
        await writeFile(target, bytes.fill(0, 8192, 16384));
      },
    ],
  ])('%s is wal corruption that names it, never the end of the archive', async (_what, damage) => {
    // Several pages of records, so that there is a middle.
    await commit(archive.cluster, 'insert into t select generate_series(1, 5000)');
    const name = await switchWal(archive);
    await withDamage(name, damage, async () => {
      const newest = (await window().catch((error: unknown) => error)) as { type?: string; message?: string };
      expect(newest).toMatchObject({ type: 'WalCorrupt', message: expect.stringContaining(name) as string });
    });
  });

  test('an idle tail is read back to the last commit', async () => {
    const { lastCommit: before } = await window();
    // Segments without any commit: restore points are WAL, but not transactions.
    for (let number = 0; number < 5; number += 1) {
      await archive.cluster.query(`select pg_create_restore_point('idle')`);
      const [row] = await archive.cluster.query<{ name: string }>('select pg_walfile_name(pg_switch_wal()) as name');
      for (let look = 0; look < 400 && (await archive.objects.head(`wal/${row!.name}`)) === null; look += 1) {
        await new Promise((done) => setTimeout(done, 10));
      }
    }
    expect((await window()).lastCommit).toEqual(before);
    const input = { timeline: 1, scratchDir: where().scratchDir, binDir, walSegmentBytes: 16 * 1024 * 1024 };
    expect(await lastCommit(archive.context, input)).toEqual(before);
    const lsn = await currentLsn(archive.cluster);
    await expect(resolve({ kind: 'lsn', value: lsn })).rejects.toMatchObject({ type: 'TargetNotRecoverable' });
    expect((await resolve({ kind: 'name', value: 'idle' })).warnings.join()).toContain('5 restore points "idle"');
  });

  test('a newest segment that was copied half full ends where its zeros begin', async () => {
    const { xid } = await commit(archive.cluster, 'insert into t values (1)');
    const [row] = await archive.cluster.query<{ name: string; lsn: string }>(
      'select pg_walfile_name(pg_current_wal_insert_lsn()) as name, pg_current_wal_insert_lsn()::text as lsn',
    );
    await copyFile(path.join(archive.cluster.dataDir, 'pg_wal', row!.name), file(row!.name));
    try {
      expect((await window()).lastCommit).toMatchObject({ xid, endLsn: row!.lsn.replace(/\/0+/, '/') });
    } finally {
      await rm(file(row!.name));
    }
  });

  test('a time after the last commit is refused with the latest possible one, and one in the future says so', async () => {
    const { latest } = await window();
    await expect(resolve({ kind: 'time', value: await serverTime(archive.cluster) })).rejects.toMatchObject({
      type: 'TargetNotRecoverable',
      message: expect.stringContaining(latest!) as string,
      details: [{ hint: expect.stringContaining('--to latest') as string }, { beyondArchive: true }],
    });
    await expect(resolve({ kind: 'time', value: '2999-01-01T00:00:00.000000Z' })).rejects.toMatchObject({
      message: expect.stringContaining('in the future') as string,
    });
    expect((await resolve({ kind: 'time', value: latest! })).boundary.dropped).toBeNull();
  });

  test('programs of another major version are refused by name', async () => {
    const other = process.env['PGR_TEST_POSTGRES17_BIN'];
    if (other === undefined) return;
    await expect(computeWindow(archive.context, { ...where(), binDir: other })).rejects.toMatchObject({
      type: 'MajorMismatch',
    });
  });

  test('bases of another system are never chosen', async () => {
    const live = { systemIdentifier: '1234', timeline: 1, currentLsn: segments[0]!.name as never };
    const input = { ...where(), target: { kind: 'latest' } as const, requestedAt: new Date().toISOString() };
    await expect(resolveTarget(archive.context, { ...input, live })).rejects.toMatchObject({
      type: 'IdentityMismatch',
    });
  });
});
