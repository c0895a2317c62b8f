import fc from 'fast-check';

import { createTarReader, type TarMember } from '../../../activities/backup-store/barman-cloud/tar-reader.js';

type Source = { name: string; type?: string; content?: Buffer; link?: string; pax?: Record<string, string> };

function header(name: string, type: string, size: number, link = ''): Buffer {
  const block = Buffer.alloc(512);
  block.write(name.slice(0, 100), 0);
  block.write('0000600\0', 100);
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  block.write('        ', 148);
  block.write(type, 156);
  block.write(link, 157);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

function padded(content: Buffer): Buffer {
  return Buffer.concat([content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

function record(name: string, value: string): string {
  const body = ` ${name}=${value}\n`;
  let length = body.length + 1;
  while (String(length).length + Buffer.byteLength(body) !== length) length += 1;
  return `${String(length)}${body}`;
}

/** Blocks as Python's tarfile writes them: every member has a pax header with its fractional time. */
function tarOf(sources: readonly Source[]): Buffer {
  const blocks = sources.flatMap(({ name, type = '0', content = Buffer.alloc(0), link, pax = {} }) => {
    const records = Object.entries({ mtime: '1795281198.0463676', ...pax }).map(([key, value]) => record(key, value));
    const meta = Buffer.from(records.join(''));
    return [
      header('././@PaxHeader', 'x', meta.length),
      padded(meta),
      header(name, type, content.length, link),
      padded(content),
    ];
  });
  return Buffer.concat([...blocks, Buffer.alloc(10_240)]);
}

function read(tar: Buffer, pieceBytes: number, offset = 0) {
  const members: (TarMember & { startsAt: number; content: Buffer })[] = [];
  const boundaries = new Set<number>();
  const reader = createTarReader(
    {
      member(member, startsAt) {
        members.push({ ...member, startsAt, content: Buffer.alloc(member.size, 0xff) });
      },
      content(piece, at) {
        piece.copy(members.at(-1)!.content, at);
      },
    },
    offset,
  );
  for (let at = 0; at < tar.length; at += pieceBytes) {
    reader.feed(tar.subarray(at, at + pieceBytes));
    boundaries.add(reader.boundary());
  }
  reader.end();
  return { members, boundaries: [...boundaries] };
}

const LONG = `base/16384/${'a'.repeat(200)}`;
const SOURCES: Source[] = [
  { name: './', type: '5' },
  { name: './PG_VERSION', content: Buffer.from('18\n') },
  { name: 'base/1/', type: '5' },
  { name: 'base/1/2619', content: Buffer.alloc(2000, 7) },
  { name: 'base/1/empty' },
  { name: LONG.slice(0, 100), pax: { path: LONG }, content: Buffer.alloc(512, 1) },
  { name: 'postgresql.conf', type: '2', link: '/etc/postgresql.conf' },
  { name: 'backup_label', content: Buffer.from('START WAL LOCATION: 0/3000028\n') },
];

test('members come out whole whatever the pieces of the stream are', () => {
  const tar = tarOf(SOURCES);
  const whole = read(tar, tar.length).members;
  expect(whole.map(({ path, type, size, link, mode }) => [path, type, size, link, mode])).toEqual([
    ['', 'dir', 0, '', 0o600],
    ['PG_VERSION', 'file', 3, '', 0o600],
    ['base/1', 'dir', 0, '', 0o600],
    ['base/1/2619', 'file', 2000, '', 0o600],
    ['base/1/empty', 'file', 0, '', 0o600],
    [LONG, 'file', 512, '', 0o600],
    ['postgresql.conf', 'symlink', 0, '/etc/postgresql.conf', 0o600],
    ['backup_label', 'file', 30, '', 0o600],
  ]);
  expect(whole[3]!.content.equals(Buffer.alloc(2000, 7))).toBe(true);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), (bytes) => {
      expect(read(tar, bytes).members).toEqual(whole);
    }),
    { numRuns: 50 },
  );
});

test('a reader that begins at any boundary hands over exactly the rest', () => {
  const tar = tarOf(SOURCES);
  const { members, boundaries } = read(tar, 512);
  expect(boundaries.length).toBeGreaterThanOrEqual(SOURCES.length);
  for (const boundary of boundaries) {
    const rest = read(tar.subarray(boundary), 700, boundary).members;
    expect(rest).toEqual(members.filter(({ startsAt }) => startsAt >= boundary));
  }
});

test('a tar without its end is cut, wherever that is', () => {
  const tar = tarOf(SOURCES);
  for (const end of [100, 512, 1024, 3000, tar.length - 10_240]) {
    expect(() => read(tar.subarray(0, end), 512)).toThrow(/cut/);
  }
});

test('a damaged header is an error, not another member', () => {
  const tar = tarOf(SOURCES);
  tar[1024 + 130] = 0x37;
  expect(() => read(tar, 4096)).toThrow(/header of the tar is damaged/);
});

test.each(['/etc/passwd', '../outside', 'base/../../outside'])('%s leads out and is refused', (name) => {
  expect(() => read(tarOf([{ name }]), 512)).toThrow(/leads out of the data directory/);
  expect(() => read(tarOf([{ name: 'x', pax: { path: name } }]), 512)).toThrow(/leads out/);
});

test('a device is refused', () => {
  expect(() => read(tarOf([{ name: 'dev', type: '3' }]), 512)).toThrow(/neither file, directory nor link/);
});
