/** Objects of a real controller, read with its secret.key: names, metadata, decryption, decompression; and what damage is called. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

import { decrypted, type Encrypted } from '../../../activities/backup-store/databasus/decrypt.js';
import { compressionOfBytes, inflated } from '../../../activities/backup-store/databasus/inflate.js';
import { parseBaseMetadata, parseWalMetadata } from '../../../activities/backup-store/databasus/metadata.js';
import {
  filesOf,
  parseBaseName,
  parseHistoryName,
  parseWalName,
} from '../../../activities/backup-store/databasus/names.js';
import { readSecretKey } from '../../../activities/backup-store/databasus/secret-key.js';
import { collect, storedBytes } from '../../../activities/backup-store/databasus/stored-file.js';
import { BUCKET_DIR, bucketObjects, DATABASUS_DIR, describeWithBucket } from '../../support/databasus.js';

const FULL_17 = 'Cluster_PITR_17-FULL-20261121-033427-1737c15a-7146-44f1-b3c0-7b07e9c409f5';
const FULL_18 = 'Cluster_PITR_18-FULL-20261121-033427-80866d06-13fe-43f1-b651-3e1a0b79a9dd';
const WAL_17 = 'ca670e8e-a329-4cf4-ba0f-c40c1eb83c38-WAL-tl1-000000010000000000000004.zst';

const read = (name: string): Buffer => readFileSync(path.join(BUCKET_DIR, name));
const secretKey = (): string => readFileSync(path.join(DATABASUS_DIR, 'secret.key'), 'utf8');

async function* pieces(content: Buffer, size = 100_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += size) yield await Promise.resolve(content.subarray(at, at + size));
}

function encryptedBase(name: string): Encrypted {
  const { backupId, encryption, compressedSizeBytes } = parseBaseMetadata(read(`${name}.metadata`).toString(), name);
  return {
    name,
    secretKey: secretKey(),
    id: backupId,
    encryption,
    bytes: compressedSizeBytes,
    damaged: 'BackupCorrupt',
  };
}

const open = (content: Buffer, object: Encrypted): Promise<Buffer> => collect(decrypted(pieces(content), object));

describeWithBucket('objects of a real controller', () => {
  test.each([
    [FULL_17, 'zst'],
    [FULL_18, 'gz'],
  ])('%s is decrypted and decompressed to a tar, whatever its compression', async (name, kind) => {
    const object = encryptedBase(name);
    const plain = await open(read(name), object);
    expect(compressionOfBytes(plain)).toBe(kind);
    expect(plain.length).toBe(object.bytes);
    const tar = await collect(inflated(pieces(plain), object));
    expect(tar.subarray(257, 262).toString()).toBe('ustar');
    expect(tar.length % 512).toBe(0);
    expect(tar.subarray(-1024).every((byte) => byte === 0)).toBe(true);
  });

  test('a wal segment becomes 16 MiB that start with a wal page', async () => {
    const { walSegmentId, encryption, compressedSizeBytes } = parseWalMetadata(
      read(`${WAL_17}.metadata`).toString(),
      WAL_17,
    );
    const object = {
      name: WAL_17,
      secretKey: secretKey(),
      id: walSegmentId,
      encryption,
      bytes: compressedSizeBytes,
      damaged: 'WalCorrupt' as const,
    };
    const raw = await collect(inflated(decrypted(pieces(read(WAL_17), 777), object), object));
    expect([raw.length, raw.readUInt16LE(0)]).toEqual([16 * 1024 * 1024, 0xd116]);
  });

  test('the system identifier keeps all of its digits', () => {
    const metadata = parseBaseMetadata(read(`${FULL_17}.metadata`).toString(), FULL_17);
    expect(metadata).toMatchObject({
      systemIdentifier: '7710462960820123050',
      pgVersion: 170_000,
      startLsn: '0/3000028',
    });
  });

  test('another key opens nothing and is said to be the wrong one', async () => {
    const object = { ...encryptedBase(FULL_17), secretKey: 'f7b0c7d2-0000-4000-8000-000000000000' };
    await expect(open(read(FULL_17), object)).rejects.toMatchObject({
      type: 'CredentialsRefused',
      message: expect.stringContaining(`the secret key does not open ${FULL_17}`) as string,
    });
  });

  test('the content of another backup under this name is refused', async () => {
    await expect(open(read(FULL_18), encryptedBase(FULL_17))).rejects.toMatchObject({ type: 'CredentialsRefused' });
  });

  test.each([
    ['a changed byte in the third chunk', (all: Buffer): Buffer => flip(all, 2_500_000), 'chunk 2 does not verify'],
    ['a cut inside a chunk', (all: Buffer): Buffer => all.subarray(0, 2_000_000), 'ends inside chunk 1'],
    ['a cut inside a length', (all: Buffer): Buffer => all.subarray(0, 64 + 1_048_596 + 2), 'ends inside chunk 1'],
    [
      'a cut at the edge of a chunk',
      (all: Buffer): Buffer => all.subarray(0, 64 + 2 * 1_048_596),
      'a part of it is missing',
    ],
    ['two chunks exchanged', exchange, 'does not verify'],
    ['an empty object', (): Buffer => Buffer.alloc(0), 'ends inside its header'],
    ['plain content', (): Buffer => Buffer.alloc(1000), 'is not encrypted as its metadata say'],
  ])('%s is a damaged backup that is named', async (_, change, problem) => {
    const opened = open(change(read(FULL_17)), encryptedBase(FULL_17));
    await expect(opened).rejects.toMatchObject({
      type: 'BackupCorrupt',
      message: expect.stringMatching(new RegExp(`^object ${FULL_17} .*${problem}`)) as string,
    });
  });

  test.each([FULL_17, FULL_18])('compressed data of %s that end early are noticed without any size', async (name) => {
    const object = { ...encryptedBase(name), bytes: 0 };
    const cut = read(name).subarray(0, 64 + 3 * 1_048_596);
    await expect(collect(inflated(decrypted(pieces(cut), object), object))).rejects.toMatchObject({
      type: 'BackupCorrupt',
      message: expect.stringContaining('cannot be decompressed') as string,
    });
  });

  test('a file in parts is read as one, and a part that was changed, shortened or lost is found', async () => {
    const whole = read(FULL_17);
    const parts = [whole.subarray(0, 1_000_000), whole.subarray(1_000_000)];
    const name = (at: number): string => `${FULL_17}.part00000${String(at + 1)}`;
    const describe = {
      version: 1,
      totalSize: whole.length,
      parts: parts.map((part, at) => ({
        key: `elsewhere/${name(at)}`,
        size: part.length,
        sha256: createHash('sha256').update(part).digest('hex'),
      })),
    };
    const bucket = (second: Buffer | null): ReturnType<typeof bucketObjects> =>
      bucketObjects({
        [FULL_17]: null,
        [name(0)]: parts[0]!,
        [name(1)]: second,
        [`${FULL_17}.parts`]: Buffer.from(JSON.stringify(describe)),
      });
    const content = async (second: Buffer | null): Promise<Buffer> => {
      const objects = bucket(second);
      const file = filesOf(await objects.list('')).get(FULL_17)!;
      return collect(storedBytes(objects, file, 'BackupCorrupt'));
    };
    expect((await content(parts[1]!)).equals(whole)).toBe(true);
    await expect(content(flip(parts[1]!, 5))).rejects.toThrow(`${name(1)} differs from its checksum`);
    await expect(content(parts[1]!.subarray(0, 5))).rejects.toThrow(`${name(1)} is shorter than`);
    await expect(content(null)).rejects.toMatchObject({ type: 'NotFound' });
  });

  test('every object of the bucket is known by its name', () => {
    expect(parseBaseName(FULL_17)).toEqual({ kind: 'full', database: 'Cluster_PITR_17', id: FULL_17.slice(-36) });
    expect(parseWalName(WAL_17)).toEqual({
      databaseId: WAL_17.slice(0, 36),
      timeline: 1,
      segment: '000000010000000000000004',
    });
    expect(parseHistoryName(`${WAL_17.slice(0, 36)}-HIST-tl2.history.zst`)).toMatchObject({ timeline: 2 });
    expect(parseBaseName('app_logical-20261121-033439-0321a6eb-ff42-4c70-83f5-754a2f8b3db1')).toBeNull();
  });
});

test('parts of an upload that did not end are no file', () => {
  const at = { bytes: 5, lastModified: '2026-11-21T03:35:00.000Z' };
  expect([
    ...filesOf([
      { key: 'a.part000001', ...at },
      { key: 'b', ...at },
    ]).keys(),
  ]).toEqual(['b']);
});

test('damaged gzip data are named; data without compression pass', async () => {
  const object = { name: 'base', damaged: 'BackupCorrupt' as const };
  const packed = gzipSync(Buffer.alloc(100_000, 'x'));
  await expect(collect(inflated(pieces(packed.subarray(0, -4)), object))).rejects.toThrow(
    'object base cannot be decompressed',
  );
  expect((await collect(inflated(pieces(Buffer.from('plain')), object))).toString()).toBe('plain');
});

const KEY = '1de30a6c-2a7c-4c55-9a7e-0d3f2f6d1a01b1de30a6-2a7c-4c55-9a7e-0d3f2f6d1a02';

test.each([
  ['as it is', KEY, null],
  ['with the newline of an editor', `${KEY}\n`, 'newline'],
  ['in base64', Buffer.from(KEY).toString('base64'), 'base64'],
  ['in base64 of a file with a newline', `${Buffer.from(`${KEY}\n`).toString('base64')}\n`, 'base64'],
])('the key is taken %s', (_, value, note) => {
  const key = readSecretKey(value);
  expect(key.text).toBe(KEY);
  expect(key.note ?? '').toContain(note ?? '');
  expect(key.note ?? '').not.toContain(KEY);
});

test('text that only looks like base64 stays what it is; an empty key is refused', () => {
  expect(readSecretKey('c29tZXRoaW5nZWxzZQ==').text).toBe('c29tZXRoaW5nZWxzZQ==');
  expect(() => readSecretKey('\n')).toThrow('the secret key of the controller is empty');
});

function flip(content: Buffer, at: number): Buffer {
  const changed = Buffer.from(content);
  changed[at] = (changed[at] ?? 0) ^ 1;
  return changed;
}

function exchange(all: Buffer): Buffer {
  const chunk = (number: number): Buffer => all.subarray(64 + number * 1_048_596, 64 + (number + 1) * 1_048_596);
  return Buffer.concat([all.subarray(0, 64), chunk(0), chunk(2), chunk(1), all.subarray(64 + 3 * 1_048_596)]);
}
