/** The parts of a base: tar stream, index, requests, memory, header, manifest. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';

import { parseBaseHeader } from '../../activities/backup-store/base-catalog.js';
import {
  createPieceFinder,
  problemOfIndex,
  type BaseIndex,
  type ChunkEntry,
} from '../../activities/backup-store/base-index.js';
import { bytesOf, createBufferPool, type Lease } from '../../activities/backup-store/chunk-buffers.js';
import { planGroups } from '../../activities/backup-store/chunk-plan.js';
import { gatherParts, partBytesFor } from '../../activities/backup-store/s3-upload.js';
import { baseBackupArgs } from '../../activities/backup-store/take-base-commands.js';
import { readManifest } from '../../activities/backup-store/take-base-manifest.js';
import { createTarIndexer } from '../../activities/backup-store/tar-index.js';

const MIB = 1024 * 1024;

type Member = { path: string; type: 'file' | 'dir' | 'symlink'; content?: Buffer; link?: string; mode?: number };

function tarOf(members: readonly Member[]): Buffer {
  const blocks = members.flatMap(({ path, type, content = Buffer.alloc(0), link = '', mode = 0o600 }) => {
    const header = Buffer.alloc(512);
    header.write(type === 'dir' ? `${path}/` : path, 0);
    header.write(mode.toString(8).padStart(7, '0'), 100);
    header.write(content.length.toString(8).padStart(11, '0'), 124);
    header.write({ file: '0', dir: '5', symlink: '2' }[type], 156);
    header.write(link, 157);
    header.write('        ', 148);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

test('a tar stream is indexed the same however it is cut, and every piece leads to the right bytes', () => {
  const member = fc.record({
    path: fc.stringMatching(/^[a-z]{1,8}\/[a-z0-9_]{1,12}$/),
    content: fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes)),
  });
  const members = fc.uniqueArray(member, { selector: ({ path }) => path, maxLength: 12 });
  fc.assert(
    fc.property(
      members,
      fc.integer({ min: 1, max: 1500 }),
      fc.integer({ min: 100, max: 4000 }),
      (all, cut, chunkBytes) => {
        const tar = tarOf(all.map((one) => ({ ...one, type: 'file' as const })));
        const indexer = createTarIndexer([all[0]?.path ?? '']);
        for (let at = 0; at < tar.length; at += cut) indexer.feed(tar.subarray(at, at + cut));
        const files = indexer.end();
        if (all[0] !== undefined) expect(indexer.captured(all[0].path)?.equals(all[0].content)).toBe(true);
        const chunks: ChunkEntry[] = [];
        for (let at = 0; at < tar.length; at += chunkBytes) {
          const rawBytes = Math.min(chunkBytes, tar.length - at);
          chunks.push({ offset: at, bytes: rawBytes, rawOffset: at, rawBytes, sha256: '' });
        }
        const index: BaseIndex = { api: 1, chunks, files };
        expect(problemOfIndex(index, tar.length)).toBeNull();
        const restored = new Map(all.map(({ path, content }) => [path, Buffer.alloc(content.length)]));
        const piecesOf = createPieceFinder(index);
        for (const chunk of chunks) {
          for (const { path, at, bytes, fileOffset } of piecesOf(chunk)) {
            tar.copy(restored.get(path)!, fileOffset, chunk.rawOffset + at, chunk.rawOffset + at + bytes);
          }
        }
        for (const { path, content } of all) expect(restored.get(path)?.equals(content)).toBe(true);
      },
    ),
  );
});

test('directories, links and modes are kept; a stream that stops inside a file is an error', () => {
  const tar = tarOf([
    { path: 'pg_wal', type: 'dir', mode: 0o700 },
    { path: 'pg_tblspc/16400', type: 'symlink', link: '/srv/space', mode: 0o777 },
    { path: 'PG_VERSION', type: 'file', content: Buffer.from('18\n'), mode: 0o640 },
  ]);
  const indexer = createTarIndexer([]);
  indexer.feed(tar);
  expect(indexer.end()).toEqual([
    { path: 'pg_wal', type: 'dir', rawOffset: 512, size: 0, mode: 0o700 },
    { path: 'pg_tblspc/16400', type: 'symlink', rawOffset: 1024, size: 0, mode: 0o777, link: '/srv/space' },
    { path: 'PG_VERSION', type: 'file', rawOffset: 1536, size: 3, mode: 0o640 },
  ]);
  const cut = createTarIndexer([]);
  cut.feed(tar.subarray(0, 1537));
  expect(() => cut.end()).toThrow('cut');
  const broken = Buffer.from(tar);
  broken[3] = 0x41;
  expect(() => {
    createTarIndexer([]).feed(broken);
  }).toThrow('broken header');
});

test('a file of eight gigabytes and more has its size in base 256', () => {
  const tar = tarOf([{ path: 'base/5/16400', type: 'file' }]).subarray(0, 512);
  tar.writeUInt8(0x80, 124);
  tar.fill(0, 125, 130);
  tar.writeUIntBE(9 * 1024 ** 3, 130, 6);
  tar.write('        ', 148);
  const sum = tar.reduce((total, byte) => total + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const indexer = createTarIndexer([]);
  indexer.feed(tar);
  expect(() => indexer.end()).toThrow('cut');
});

test.each(['../etc/passwd', '/etc/passwd', 'base/../../x', 'a//b', '', './x', 'base/\0x'])(
  'an index with the path "%s" is refused',
  (path) => {
    const files = [{ path, type: 'file' as const, rawOffset: 0, size: 0, mode: 0o600 }];
    expect(problemOfIndex({ api: 1, chunks: [], files }, 0)).toContain('is not a path inside a base');
  },
);

test('an index with a gap or a file beyond its end is refused', () => {
  const chunk = { offset: 0, bytes: 10, rawOffset: 0, rawBytes: 100, sha256: '' };
  expect(
    problemOfIndex({ api: 1, chunks: [chunk, { ...chunk, offset: 11, rawOffset: 100 }], files: [] }, 200),
  ).toContain('chunk 1');
  expect(problemOfIndex({ api: 1, chunks: [chunk], files: [] }, 101)).toContain('100 of 101');
  const file = { path: 'x', type: 'file' as const, rawOffset: 90, size: 11, mode: 0o600 };
  expect(problemOfIndex({ api: 1, chunks: [chunk], files: [file] }, 100)).toContain('ends after the tar');
});

test('neighbouring chunks share a request up to its size; finished ones are left out', () => {
  const chunks = [3, 3, 3, 9, 1, 1].map((bytes, number, all) => ({
    offset: all.slice(0, number).reduce((sum, one) => sum + one, 0),
    bytes,
    rawOffset: number,
    rawBytes: 1,
    sha256: '',
  }));
  expect(planGroups(chunks, () => false, 6)).toEqual([
    { start: 0, end: 5, chunks: [0, 1] },
    { start: 6, end: 8, chunks: [2] },
    { start: 9, end: 17, chunks: [3] },
    { start: 18, end: 19, chunks: [4, 5] },
  ]);
  expect(planGroups(chunks, (chunk) => chunk === 0 || chunk === 4, 100)).toEqual([
    { start: 3, end: 17, chunks: [1, 2, 3] },
    { start: 19, end: 19, chunks: [5] },
  ]);
});

test('memory is lent within its budget, in order, and a request larger than that gets its own', async () => {
  const pool = createBufferPool(4 * MIB);
  const first = await pool.acquire(3 * MIB - 5);
  const order: string[] = [];
  const waiting = [2 * MIB, MIB].map((bytes, at) =>
    pool.acquire(bytes).then((lease) => {
      order.push(String(at));
      return lease;
    }),
  );
  await new Promise(setImmediate);
  // The second request would fit, but a large one must not wait for ever behind small ones.
  expect(order).toEqual([]);
  pool.release(first);
  const leases = await Promise.all(waiting);
  expect(order).toEqual(['0', '1']);
  const [one, two] = leases as [Lease, Lease];
  expect(one.block).toBe(two.block);
  expect(one.start + one.bytes <= two.start || two.start + two.bytes <= one.start).toBe(true);
  bytesOf(one).fill(1);
  bytesOf(two).fill(2);
  expect(bytesOf(one).every((byte) => byte === 1)).toBe(true);
  const large = await pool.acquire(9 * MIB);
  expect(large.block).not.toBe(one.block);
  for (const lease of [...leases, large]) pool.release(lease);
  expect((await pool.acquire(4 * MIB)).start).toBe(0);
});

test('parts of an upload are large enough for S3 and ten thousand of them hold a terabyte', async () => {
  expect(partBytesFor(1)).toBeGreaterThanOrEqual(5 * MIB);
  const total = Array.from({ length: 10_000 }, (_, index) => partBytesFor(index + 1)).reduce(
    (sum, one) => sum + one,
    0,
  );
  expect(total).toBeGreaterThan(1024 ** 4);
  async function* pieces(): AsyncGenerator<Buffer> {
    for (let left = 7; left > 0; left -= 1) yield await Promise.resolve(Buffer.alloc(3 * MIB));
  }
  const sizes: number[] = [];
  for await (const part of gatherParts(pieces())) sizes.push(part.length / MIB);
  expect(sizes).toEqual([9, 9, 3]);
});

test('the arguments of a base backup', () => {
  const full = baseBackupArgs({ host: '10.0.0.1', port: 5432, user: 'backup', parentManifest: null });
  expect(full).toEqual(
    [
      '--host',
      '10.0.0.1',
      '--port',
      '5432',
      '--username',
      'backup',
      '--no-password',
      '--pgdata',
      '-',
      '--format',
      'tar',
    ].concat(['--wal-method', 'none', '--checkpoint', 'fast', '--manifest-checksums', 'CRC32C']),
  );
  const incremental = baseBackupArgs({ host: 'h', port: 1, user: 'u', parentManifest: '/tmp/m' });
  expect(incremental.slice(-2)).toEqual(['--incremental', '/tmp/m']);
});

function manifest(systemIdentifier: string, ranges: string): Buffer {
  const covered = `{ "PostgreSQL-Backup-Manifest-Version": 2,
"System-Identifier": ${systemIdentifier},
"Files": [
{ "Path": "PG_VERSION", "Size": 3 }
],
"WAL-Ranges": [
${ranges}
],
`;
  const checksum = createHash('sha256').update(covered).digest('hex');
  return Buffer.from(`${covered}"Manifest-Checksum": "${checksum}"}\n`);
}

test('a manifest is read exactly: a system identifier beyond 2^53, all its wal ranges', () => {
  const one = '{ "Timeline": 1, "Start-LSN": "0/6000028", "End-LSN": "0/6000120" }';
  const two = '{ "Timeline": 2, "Start-LSN": "0/6000120", "End-LSN": "1/6000120" }';
  expect(readManifest(manifest('7710503318627444979', one), 'x')).toEqual({
    systemIdentifier: '7710503318627444979',
    timeline: 1,
    startLsn: '0/6000028',
    stopLsn: '0/6000120',
  });
  expect(readManifest(manifest('1', `${one},\n${two}`), 'x')).toMatchObject({ timeline: 2, stopLsn: '1/6000120' });
  const changed = Buffer.from(manifest('1', one).toString().replace('PG_VERSION', 'PG_VERSIOM'));
  expect(() => readManifest(changed, 'base b')).toThrow('manifest of base b does not match its own checksum');
});

const HEADER = {
  api: 1,
  id: 'b',
  kind: 'full',
  systemIdentifier: '7710503318627444978',
  postgresMajor: 18,
  postgresVersion: '18.6',
  walSegmentBytes: 16 * MIB,
  timeline: 1,
  startLsn: '0/6000028',
  stopLsn: '0/6000120',
  startedAt: '2026-11-21T06:10:51.000001Z',
  endedAt: '2026-11-21T06:10:52.000001Z',
  parentId: null,
  compression: 'lz4',
  tar: 'base.tar.lz4',
  sizes: { bytes: 1, rawBytes: 1, restoredBytes: 1, files: 1, chunks: 1 },
  sha256s: { index: 'a'.repeat(64), manifest: 'b'.repeat(64) },
  settings: {
    maxConnections: 100,
    maxWorkerProcesses: 8,
    maxWalSenders: 10,
    maxPreparedTransactions: 0,
    maxLocksPerTransaction: 64,
  },
};

test('a header that is damaged or of another base is BackupCorrupt and says where', () => {
  expect(parseBaseHeader(JSON.stringify(HEADER), 'b')).toMatchObject({ id: 'b', stopLsn: '0/6000120' });
  const refused = (text: string): string => {
    try {
      parseBaseHeader(text, 'b');
      return 'accepted';
    } catch (error) {
      return `${String((error as { type?: string }).type)}: ${(error as Error).message}`;
    }
  };
  expect(refused('{"api":1')).toMatch(/^BackupCorrupt: header of base b is not json/);
  expect(refused(JSON.stringify({ ...HEADER, id: 'c' }))).toMatch(/says that it is base c/);
  expect(refused(JSON.stringify({ ...HEADER, systemIdentifier: 77105 }))).toMatch(/systemIdentifier/);
  expect(refused(JSON.stringify({ ...HEADER, stopLsn: 'zero' }))).toMatch(/stopLsn: "zero" is not an lsn/);
});
