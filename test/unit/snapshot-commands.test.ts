import { parseRewindProgress } from '../../activities/postgres/copy-progress.js';
import { datasetAt, datasetOf, likeProperties, ownDatasets, parentOf } from '../../activities/snapshot/zfs-names.js';
import { estimate, neededBytes, type Sizes } from '../../activities/postgres/rebuild/plan-space.js';
import { chooseMethod, type MethodFacts } from '../../activities/postgres/rebuild/plan-method.js';
import { peerChecks, type PeerFacts } from '../../activities/postgres/rebuild/plan-peer.js';
import {
  copyTreeArgs,
  emptyDirectoryArgs,
  rewindArgs,
  rewindDryRunArgs,
} from '../../activities/postgres/rebuild/commands.js';
import { whyItStays } from '../../activities/postgres/rebuild/safety-copies.js';
import * as commands from '../../activities/snapshot/commands.js';
import { parseGet } from '../../activities/snapshot/zfs-program.js';
import { standbyCloneArgs } from '../../activities/postgres/commands.js';
import type { SafetyCopy } from '../../shared/contracts/rebuild.js';

describe('commands of snapshots', () => {
  test('a zfs snapshot is born with the marks that say whose it is', () => {
    expect(commands.zfsSnapshotArgs('p/a@pgr-1', { 'pgr:run': 'lab/change', 'pgr:run-id': 'x' })).toEqual([
      'snapshot',
      '-o',
      'pgr:run=lab/change',
      '-o',
      'pgr:run-id=x',
      'p/a@pgr-1',
    ]);
    expect(commands.zfsHoldArgs('p/a@pgr-1')).toEqual(['hold', 'pgr', 'p/a@pgr-1']);
    expect(commands.zfsReleaseArgs('p/a@pgr-1')).toEqual(['release', 'pgr', 'p/a@pgr-1']);
  });

  test('nothing is ever destroyed with what hangs on it, and `list -p` (which zfs-fuse lacks) is not used', () => {
    const all = [
      commands.zfsDestroyArgs('p/a@s'),
      commands.zfsCloneArgs('p/a@s', 'p/b', { mountpoint: '/x', readonly: 'on' }),
      commands.zfsPromoteArgs('p/b'),
      commands.zfsRenameArgs('p/a', 'p/b'),
      commands.zfsUnmountArgs('p/a'),
    ];
    expect(all).toEqual([
      ['destroy', 'p/a@s'],
      ['clone', '-o', 'mountpoint=/x', '-o', 'readonly=on', 'p/a@s', 'p/b'],
      ['promote', 'p/b'],
      ['rename', 'p/a', 'p/b'],
      ['unmount', 'p/a'],
    ]);
    expect(commands.zfsListArgs('snapshot', 'p/a')).toEqual([
      'list',
      '-H',
      '-o',
      'name',
      '-t',
      'snapshot',
      '-r',
      'p/a',
    ]);
    expect(commands.zfsGetArgs(['used', 'pgr:run'], ['p/a'])).toEqual([
      'get',
      '-H',
      '-p',
      '-o',
      'name,property,value,source',
      'used,pgr:run',
      'p/a',
    ]);
  });

  test('btrfs snapshots are read-only as copies, writable when they come back', () => {
    expect(commands.btrfsSnapshotArgs('/d', '/d.kept', 'read-only')).toEqual([
      'subvolume',
      'snapshot',
      '-r',
      '/d',
      '/d.kept',
    ]);
    expect(commands.btrfsSnapshotArgs('/d.kept', '/d', 'writable')).toEqual(['subvolume', 'snapshot', '/d.kept', '/d']);
  });

  test('sudo never asks', () => {
    expect(commands.asConfigured('zfs', ['mount', 'p'], true)).toEqual(['sudo', ['-n', 'zfs', 'mount', 'p']]);
    expect(commands.asConfigured('zfs', ['mount', 'p'], false)).toEqual(['zfs', ['mount', 'p']]);
  });

  test('a property that is not set is missing, not "-"', () => {
    const seen = parseGet('p/a@s\tpgr:run\tlab/change\tlocal\np/a@s\tpgr:node\t-\t-\np/b\tused\t12\t-\n');
    expect(seen.get('p/a@s')?.get('pgr:run')).toEqual({ value: 'lab/change', source: 'local' });
    expect(seen.get('p/a@s')?.has('pgr:node')).toBe(false);
    expect(seen.get('p/b')?.get('used')?.value).toBe('12');
  });
});

describe('commands of a rebuild', () => {
  const source = { host: "o'host", port: 5433, user: 'pgr', database: 'shop' };
  test('a rewind has no password in its arguments, and is tried out with the same ones', () => {
    expect(rewindArgs('/w', source)).toEqual([
      '--target-pgdata',
      '/w',
      '--source-server',
      "host='o\\'host' port=5433 user='pgr' dbname='shop' application_name=pgr",
      '--progress',
    ]);
    expect(rewindDryRunArgs('/w', source)).toEqual([...rewindArgs('/w', source), '--dry-run']);
  });
  test('a limit of the rate is given in kB/s', () => {
    const clone = { host: 'h', port: 1, user: 'u', targetDir: '/w', slot: 's', applicationName: 'a' };
    expect(standbyCloneArgs({ ...clone, rateLimitKbPerSecond: 2048 })).toContain('--max-rate=2048k');
    expect(standbyCloneArgs(clone).join(' ')).not.toContain('max-rate');
  });
  test('a directory is emptied, not deleted, and only on its own file system', () => {
    expect(emptyDirectoryArgs('/w')).toEqual(['/w', '-xdev', '-mindepth', '1', '-delete']);
    expect(copyTreeArgs('/a', '/b')).toEqual(['--archive', '--reflink=auto', '--no-target-directory', '/a', '/b']);
  });
});

describe('the method', () => {
  const facts: MethodFacts = {
    asked: 'auto',
    from: 'chicago',
    own: { timeline: 1, checksums: true, walLogHints: false, state: 'shut down' },
    running: false,
    peerTimeline: 2,
    peer: { fullPageWrites: true, rewindAllowed: true },
    walIsLink: false,
    dryRun: { possible: true, said: 'Done!', nothingToDo: false, copyBytes: 5 },
  };
  test('is a rewind when the histories differ and a dry run agrees', () => {
    expect(chooseMethod(facts)).toMatchObject({ method: 'rewind', fallback: true, refusal: null });
    expect(chooseMethod({ ...facts, asked: 'rewind' })).toMatchObject({ method: 'rewind', fallback: false });
  });
  test.each<[string, Partial<MethodFacts>]>([
    ['there is no cluster', { own: null }],
    ['both on timeline 2', { own: { ...facts.own!, timeline: 2 } }],
    ['neither data checksums', { own: { ...facts.own!, checksums: false } }],
    ['full_page_writes is off', { peer: { fullPageWrites: false, rewindAllowed: true } }],
    ['may not read files', { peer: { fullPageWrites: true, rewindAllowed: false } }],
    ['pg_wal is a link', { walIsLink: true }],
    [
      'could not find common ancestor',
      { dryRun: { ...facts.dryRun!, possible: false, said: 'could not find common ancestor' } },
    ],
  ])('is a full copy, saying why: %s', (why, wrong) => {
    expect(chooseMethod({ ...facts, ...wrong })).toMatchObject({
      method: 'basebackup',
      why: expect.stringContaining(why) as string,
      refusal: null,
    });
    expect(chooseMethod({ ...facts, ...wrong, asked: 'rewind' }).refusal).toContain(why);
  });
  test('hint bits are as good as checksums', () => {
    const own = { ...facts.own!, checksums: false, walLogHints: true };
    expect(chooseMethod({ ...facts, own })).toMatchObject({ method: 'rewind' });
  });
  test('says what is tried when nothing could be tried yet', () => {
    expect(chooseMethod({ ...facts, dryRun: null, running: true }).why).toContain(
      'tried out when the server is stopped',
    );
    expect(chooseMethod({ ...facts, dryRun: null }).why).toContain('pg_rewind recovers it first');
  });
});

describe('space and time', () => {
  const gib = 1024 ** 3;
  const sizes: Sizes = {
    method: 'basebackup',
    fallback: false,
    fullBytes: 100 * gib,
    rewindBytes: null,
    localBytes: 0,
    rateLimitKbPerSecond: null,
  };
  test('a full copy needs the size of the peer and a twentieth', () => {
    expect(neededBytes(sizes)).toBe(105 * gib);
    expect(neededBytes({ ...sizes, fullBytes: 0 })).toBe(256 * 1024 * 1024);
  });
  test('a rewind on a copy needs that copy; with a fallback at least the full one', () => {
    const rewind = { ...sizes, method: 'rewind' as const, rewindBytes: gib, localBytes: 90 * gib };
    expect(neededBytes(rewind)).toBe(96 * gib);
    expect(neededBytes({ ...rewind, fallback: true })).toBe(105 * gib);
  });
  test('a limit makes a full copy slower', () => {
    expect(estimate({ ...sizes, rateLimitKbPerSecond: 10_240 }).estimateSeconds).toBeGreaterThan(10_000);
    expect(estimate(sizes)).toMatchObject({ copyBytes: 100 * gib });
  });
});

test('a peer without free walsenders, or whose slot somebody else uses, is not good', () => {
  const facts: PeerFacts = {
    bytes: 1,
    freeSenders: 1,
    freeSlots: 0,
    slot: { type: 'physical', active: true, status: 'reserved' },
    otherStandbys: 0,
    syncState: null,
    fullPageWrites: true,
    rewindAllowed: true,
  };
  const ok = (more: Partial<PeerFacts>, streams: boolean) =>
    peerChecks({ ...facts, ...more }, 'dallas', 'chicago', streams).map((check) => check.ok);
  expect(ok({}, false)).toEqual([false, false]);
  // The standby itself uses one of each; it is stopped first.
  expect(ok({}, true)).toEqual([true, true]);
  expect(ok({ freeSenders: 2, slot: null }, false)).toEqual([true, false]);
  expect(ok({ freeSenders: 2, slot: { type: 'logical', active: false, status: 'reserved' } }, false)).toEqual([
    true,
    false,
  ]);
  expect(ok({ freeSenders: 2, slot: { type: 'physical', active: false, status: 'lost' } }, false)).toEqual([
    true,
    true,
  ]);
});

describe('pruning keeps', () => {
  const copy = (name: string, verified: boolean, runId = name): SafetyCopy => ({
    provider: 'directory',
    name,
    environment: 'lab',
    node: 'chicago',
    host: 'chicago',
    run: 'lab/change',
    runId,
    createdAt: '2026-11-21T00:00:00.000Z',
    systemIdentifier: '1',
    timeline: 1,
    bytes: 1,
    verified,
  });
  const a = copy('a', true);
  const b = copy('b', true);
  const c = copy('c', false);
  test('the newest verified copy, also when a newer one is not verified', () => {
    const stays = [a, b, c].map((one) => whyItStays(one, [a, b, c], new Set()) !== null);
    expect(stays).toEqual([false, true, false]);
  });
  test('every copy when none is verified, of a run that is not over, or of nobody knows whom', () => {
    expect(whyItStays(c, [c], new Set())).toContain('no copy');
    expect(whyItStays(a, [a, b], new Set(['a']))).toContain('not over');
    expect(whyItStays(copy('d', false, 'unknown'), [a], new Set())).toContain('damaged');
  });
});

describe('places and datasets', () => {
  const at = (place: string) => datasetAt('tank/pg/main', '/data/main', place);
  test('a place beside the data directory is a dataset beside its own', () => {
    expect(at('/data/main')).toBe('tank/pg/main');
    expect(at('/data/main.kept-0199-aa')).toBe('tank/pg/main-kept-0199-aa');
    for (const place of ['/data', '/data/main.', '/data/mainly', '/data/main.kept/x', '/data/main.a+b'])
      expect(() => at(place)).toThrow('no place beside');
  });
  test('only what a run of this node made counts as its own', () => {
    const names = [
      'tank/pg',
      'tank/pg/main',
      'tank/pg/main-kept-1',
      'tank/pg/main-2',
      'tank/pg/main/child',
      'tank/pg/main-new-1',
    ];
    expect(ownDatasets('tank/pg/main', names)).toEqual(['tank/pg/main', 'tank/pg/main-kept-1', 'tank/pg/main-new-1']);
    expect([parentOf('tank/pg/main'), datasetOf('tank/pg/main@x')]).toEqual(['tank/pg', 'tank/pg/main']);
  });
  test('a dataset that takes the place of another one is like it, except for where it is mounted and what is reserved', () => {
    const text = 'recordsize\t8192\nmountpoint\t/data\nreservation\t1000\npgr:move\t{}\nmy:note\tkept\n';
    expect(likeProperties(text)).toEqual({ copied: { recordsize: '8192', 'my:note': 'kept' }, mountpoint: '/data' });
  });
});

test('the count of pg_rewind is read from its last line', () => {
  expect(parseRewindProgress('pg_rewind: Copying\n  1024/4096 kB (25%) copied\r  2048/4096 kB (50%) copied')).toEqual({
    done: 2048 * 1024,
    total: 4096 * 1024,
    unit: 'bytes',
  });
  expect(parseRewindProgress('pg_rewind: reading source file list')).toBeNull();
});
