/** The bucket of a real controller as a store: which database it is, what `pgr check` says, and what it refuses to do. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { createArchiveView } from '../../../activities/backup-store/databasus/archive-objects.js';
import { readCatalog } from '../../../activities/backup-store/databasus/catalog.js';
import { parseManifest, restoredBytes } from '../../../activities/backup-store/databasus/manifest.js';
import { sealedManifest } from '../../../activities/backup-store/databasus/open.js';
import { createReadOnlyStore } from '../../../activities/backup-store/databasus/store.js';
import { collect } from '../../../activities/backup-store/databasus/stored-file.js';
import { listBases } from '../../../activities/backup-store/base-catalog.js';
import { listWalFiles, readWalFile } from '../../../activities/backup-store/wal-archive.js';
import { bucketObjects, DATABASUS_DIR, describeWithBucket } from '../../support/databasus.js';

const P17 = { systemIdentifier: null, databaseId: 'ca670e8e-a329-4cf4-ba0f-c40c1eb83c38' };
const SYSTEM_18 = { systemIdentifier: '7710462970925164156', databaseId: null };
const FULL = 'Cluster_PITR_17-FULL-20261121-033427-1737c15a-7146-44f1-b3c0-7b07e9c409f5';
const INCR = 'Cluster_PITR_17-INCR-20261121-033452-24476f20-62d0-4762-bf90-ac6359a42b3a';
const WAL_7 = `${P17.databaseId}-WAL-tl1-000000010000000000000007.zst`;

const secretKey = (): string => readFileSync(path.join(DATABASUS_DIR, 'secret.key'), 'utf8');

type Changes = Parameters<typeof bucketObjects>[0];

function store(changes: Changes = {}, { key = secretKey(), now = '2026-11-21T03:40:00Z', pin = P17 } = {}) {
  return createReadOnlyStore({
    objects: bucketObjects(changes),
    key: { text: key, note: null },
    pin,
    limits: { baseSeconds: 600, walSeconds: 7 * 86_400 * 365 },
    fetchCommand: (spec) => ['fetch', spec],
    now: () => new Date(now),
  });
}

async function findings(changes: Changes, options: Parameters<typeof store>[1] = {}): Promise<Record<string, string>> {
  const lines = await store(changes, options).check();
  return Object.fromEntries(lines.filter(({ ok }) => !ok).map(({ check, actual }) => [check, actual]));
}

describeWithBucket('the bucket of a controller as a store', () => {
  test('a database is chosen by its id or by its system identifier', async () => {
    const byId = await readCatalog(bucketObjects(), P17);
    expect(byId.bases.map(({ metadata }) => metadata.backupType)).toEqual(['FULL', 'INCREMENTAL']);
    expect(byId.wal.map(({ segment }) => segment.slice(-1))).toEqual(['4', '5', '6', '7']);
    const bySystem = await readCatalog(bucketObjects(), SYSTEM_18);
    expect(new Set(bySystem.bases.map(({ database }) => database))).toEqual(new Set(['Cluster_PITR_18']));
    expect(bySystem.wal.map(({ file }) => file.name.slice(0, 8))).toEqual(Array(4).fill('4b2f4837'));
  });

  test('several systems without a choice, and a choice that is not there, are refused with what is there', async () => {
    const none = readCatalog(bucketObjects(), { systemIdentifier: null, databaseId: null });
    await expect(none).rejects.toMatchObject({
      type: 'ConfigInvalid',
      message: expect.stringMatching(/bases of 2 systems: .*Cluster_PITR_17 \(system 7710462960820123050/) as string,
    });
    const other = readCatalog(bucketObjects(), { systemIdentifier: '7', databaseId: null });
    await expect(other).rejects.toMatchObject({ type: 'IdentityMismatch' });
  });

  test('bases and wal look like those of our own layout', async () => {
    const { objects } = createArchiveView({ objects: bucketObjects(), secretKey: secretKey() }, P17);
    expect(await listBases(objects)).toMatchObject([
      { kind: 'full', parentId: null, systemIdentifier: '7710462960820123050', postgresMajor: 17 },
      { kind: 'incremental', parentId: FULL.slice(-36), startLsn: '0/6000028', walSegmentBytes: 16 * 1024 * 1024 },
    ]);
    const [first] = await listWalFiles(objects, 'wal/');
    expect((await readWalFile(objects, first!, 16 * 1024 * 1024)).length).toBe(16 * 1024 * 1024);
    await expect(objects.put('wal/x', Buffer.alloc(1))).rejects.toMatchObject({ type: 'PreconditionFailed' });
  });

  test('a base that lost its tar or its manifest is a warning, and not a base', async () => {
    const lost = await readCatalog(bucketObjects({ [FULL]: null }), P17);
    expect(lost.bases.map(({ metadata }) => metadata.backupType)).toEqual(['INCREMENTAL']);
    expect(lost.warnings).toEqual([expect.stringContaining(`${FULL} is missing`)]);
    const { warnings } = await readCatalog(bucketObjects({ [`${INCR}.manifest`]: null }), P17);
    expect(warnings).toEqual([expect.stringContaining(`${INCR}.manifest is missing`)]);
  });

  test('a manifest proves itself, and tells what the base weighs', async () => {
    const objects = bucketObjects();
    const [full] = (await readCatalog(objects, P17)).bases;
    const content = await collect(sealedManifest({ objects, secretKey: secretKey() }, full!).stream());
    const files = parseManifest(content, 'm');
    expect(files.find(({ path: name }) => name === 'global/pg_control')).toMatchObject({ bytes: 8192 });
    expect(restoredBytes(files)).toBeGreaterThan(20_000_000);
    const cut = content.subarray(0, -200);
    const changed = Buffer.from(content.toString().replace('8192', '8193'));
    for (const bad of [cut, changed])
      expect(() => parseManifest(bad, 'm')).toThrow('manifest m differs from its own checksum');
  });

  test('the check has nothing to say about the bucket as the controller left it', async () => {
    const lines = await store().check();
    expect(lines.map(({ check, ok }) => [check, ok])).toEqual([
      ['bucket-read', true],
      ['key-custody', true],
      ['base-fresh', true],
      ['wal-fresh', true],
      ['chain', true],
    ]);
  });

  test('the check opens a megabyte and no more', async () => {
    const objects = bucketObjects();
    await createReadOnlyStore({
      objects,
      key: { text: secretKey(), note: null },
      pin: P17,
      limits: { baseSeconds: 1, walSeconds: 1 },
      fetchCommand: () => [],
      now: () => new Date(),
    }).check();
    expect(objects.reads.filter((key) => !key.endsWith('.metadata'))).toEqual([INCR]);
  });

  test('a wrong key, an old base, a missing parent and a gap in the wal are findings', async () => {
    expect(await findings({}, { key: 'another' })).toEqual({
      'key-custody': expect.stringContaining('the secret key does not open') as string,
    });
    expect(Object.keys(await findings({}, { now: '2026-11-21T05:00:00Z' }))).toEqual(['base-fresh']);
    expect((await findings({ [FULL]: null, [`${FULL}.metadata`]: null }))['chain']).toContain('which is missing');
    const gap = { [WAL_7]: null, [`${P17.databaseId}-WAL-tl1-000000010000000000000006.zst`]: null };
    expect(await findings(gap)).toMatchObject({ chain: 'wal segment 000000010000000000000006 is missing' });
    expect((await findings({}, { pin: { ...P17, databaseId: 'gone' } }))['bucket-read']).toContain(
      'the bucket has no base',
    );
  });

  test('what the controller does is refused with its name; reading does not need it', async () => {
    const refused = { type: 'PreconditionFailed', message: expect.stringContaining('Databasus controller') as string };
    const one = store();
    await expect(one.pause('run')).rejects.toMatchObject(refused);
    await expect(one.resume('run')).resolves.toMatchObject({ outcome: 'nothing-to-do' });
    await expect(one.abandonTimeline(1, 'run')).rejects.toMatchObject(refused);
    expect(() => one.takeBaseCommand('spec')).toThrow('Databasus controller');
    expect(await one.walPresence('000000010000000000000007')).toBe('found');
    expect(await one.walPresence('000000010000000000000008')).toBe('missing');
  });
});
