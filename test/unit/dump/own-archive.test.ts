/**
 * Scenario: a cluster is about to archive to a place that may be another cluster's.
 * Verified: 1 bases and the ends of every timeline say of which clusters an archive is; 2 an archive of another cluster, and a store that cannot tell, are
 * refused with the edit for that kind of store; 3 an empty one and its own are not; 4 the address of the config is used only where no file says one.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { archiveSystems } from '../../../activities/backup-store/archive-systems.js';
import type { BackupStore } from '../../../activities/lib/backup-store.js';
import { addressSettings } from '../../../activities/postgres/dump/swap-in-dump.js';
import { archiveAdvice, requireOwnArchive } from '../../../activities/postgres/promotion/own-archive.js';
import type { Config, StoreConfig } from '../../../config/schema.js';
import { directoryObjects } from '../../support/directory-objects.js';

const SEGMENT_BYTES = 1024 * 1024;
const S3 = { kind: 's3', bucket: 'b', prefix: 'shop/' } as unknown as StoreConfig;

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'pgr-archive-'));
  await mkdir(path.join(dir, 'wal'));
  await mkdir(path.join(dir, 'bases'));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

/** A segment of 1 MiB whose first page is that of a cluster. */
async function archive(timeline: number, number: number, system: bigint): Promise<void> {
  const segment = Buffer.alloc(SEGMENT_BYTES);
  segment.writeUInt16LE(0xd118, 0);
  segment.writeUInt16LE(0x0002, 2);
  segment.writeUInt32LE(timeline, 4);
  segment.writeBigUInt64LE(BigInt(number * SEGMENT_BYTES), 8);
  segment.writeBigUInt64LE(system, 24);
  segment.writeUInt32LE(SEGMENT_BYTES, 32);
  const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');
  await writeFile(path.join(dir, 'wal', `${hex(timeline)}${hex(0)}${hex(number)}`), segment);
}

const systems = () => archiveSystems({ objects: directoryObjects(dir), walPrefix: 'wal/' });

test('an archive says of which clusters it is, by both ends of every timeline', async () => {
  expect(await systems()).toEqual([]);
  await archive(1, 1, 77n);
  await archive(1, 2, 77n);
  expect(await systems()).toEqual(['77']);
  await archive(1, 9, 88n);
  await archive(3, 4, 99n);
  expect(await systems()).toEqual(['77', '88', '99']);
});

test('a segment that does not say it is no empty archive', async () => {
  await writeFile(path.join(dir, 'wal', '000000010000000000000001'), Buffer.alloc(SEGMENT_BYTES));
  await expect(systems()).rejects.toMatchObject({ type: 'WalCorrupt' });
});

function depsOf(found: string[] | null): Parameters<typeof requireOwnArchive>[0] {
  const store = { kind: 's3', ...(found === null ? {} : { systems: () => Promise.resolve(found) }) };
  const config = { environments: { shop: { backups: S3 } } } as unknown as Config;
  return { config, store: () => Promise.resolve(store as unknown as BackupStore) };
}

test('its own archive and an empty one are taken, anything else is refused with the edit', async () => {
  await expect(requireOwnArchive(depsOf([]), 'shop', '88')).resolves.toBe('empty');
  await expect(requireOwnArchive(depsOf(['88']), 'shop', '88')).resolves.toBe('holds only system 88');
  for (const found of [['77'], ['77', '88']]) {
    await expect(requireOwnArchive(depsOf(found), 'shop', '88')).rejects.toMatchObject({
      type: 'PreconditionFailed',
      message: 'the archive of shop is that of system 77: WAL of system 88 must not come among it',
      details: [{ hint: expect.stringContaining('`prefix: shop-88`') as string }],
    });
  }
  await expect(requireOwnArchive(depsOf(null), 'shop', '88')).rejects.toMatchObject({
    message: expect.stringContaining('cannot tell') as string,
  });
});

test.each([
  [{ kind: 'barman', server: 'shop' }, '[shop-88]', 'barman check shop-88'],
  [{ kind: 'pgbackrest', stanza: 'shop' }, 'stanza', 'stanza-upgrade'],
  [{ kind: 'databasus' }, 'hand the cluster over', '--hand-over'],
] as const)('%j says what makes room', (backups, hint, next) => {
  const advice = archiveAdvice('shop', backups as unknown as StoreConfig, '88');
  expect(advice.hint).toContain(hint);
  expect(advice.hint).toContain('nothing was touched');
  expect(advice.next.join('\n')).toContain(next);
});

test('the address of the config is used where no file says one', () => {
  expect(addressSettings('', '10.0.0.1', 5433)).toEqual({ listen_addresses: 'localhost,10.0.0.1', port: '5433' });
  expect(addressSettings("#port = 1\nlisten_addresses = '*'\nport = 6000\n", '10.0.0.1', 5433)).toEqual({});
});
