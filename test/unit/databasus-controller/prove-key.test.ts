/**
 * Scenario: the key in escrow is tried on the real bucket before a controller is made, and the config that describes the controller.
 * Verified: the right key is proven, also with a newline or in base64; a wrong one, an empty bucket and an unreadable bucket are told apart; rules of the config.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import {
  createProveControllerKey,
  type CheckBucket,
} from '../../../activities/backup-store/databasus-controller/prove-key.js';
import { createControllerArgs } from '../../../activities/backup-store/databasus-controller/container-commands.js';
import { fingerprintOf } from '../../../activities/backup-store/databasus-controller/key-file.js';
import { createReadOnlyStore } from '../../../activities/backup-store/databasus/store.js';
import { checkConfig } from '../../../config/rules.js';
import type { Config } from '../../../config/schema.js';
import { bucketObjects, DATABASUS_DIR, describeWithBucket } from '../../support/databasus.js';
import { P18 } from '../../support/databasus-controller.js';

const controller = {
  host: 'chicago',
  workspace: 'prod',
  bucket: 'bucket',
  databases: [{ name: 'Cluster PITR' }],
};

function configOf(more: Record<string, unknown> = {}, backups: Record<string, unknown> = {}): Config {
  return {
    notify: [],
    environments: {
      shop: {
        nodes: [],
        sandbox: { ports: [1, 2] },
        routing: { url: 'postgresql://x/y?target_session_attrs=read-write' },
        apps: [],
        approvals: {},
        identity: { kind: 'declared' },
        backups: { kind: 'databasus', controller: { ...controller, ...more }, ...backups },
        otherBackups: { bucket: { kind: 'databasus-bucket', secretKey: 'env:KEY' }, s3: { kind: 's3' } },
      },
    },
  } as unknown as Config;
}

const prove = (secret: string, check: CheckBucket, config = configOf()) =>
  createProveControllerKey(
    { config, resolveSecret: () => Promise.resolve(secret), program: { node: '', distDir: '', configPath: '' } },
    check,
  )({ environment: 'shop' });

const line = (actual: string, ok: boolean) => ({ check: 'key-custody', expected: 'it opens', actual, ok });

describeWithBucket('the key on the real bucket', () => {
  const key = (): string => readFileSync(path.join(DATABASUS_DIR, 'secret.key'), 'utf8');
  const check: CheckBucket = (_deps, _bucket, _environment, text) =>
    createReadOnlyStore({
      objects: bucketObjects(),
      key: { text, note: null },
      pin: { systemIdentifier: null, databaseId: P18 },
      limits: { baseSeconds: 1, walSeconds: 1 },
      fetchCommand: () => [],
      now: () => new Date('2026-11-21T04:00:00Z'),
    }).check();

  test.each([
    ['as it is', (text: string) => text],
    ['with a newline', (text: string) => `${text}\n`],
    ['in base64', (text: string) => Buffer.from(text).toString('base64')],
  ])('is proven %s, though the backups are old', async (_title, stored) => {
    await expect(prove(stored(key()), check)).resolves.toMatchObject({
      fingerprint: fingerprintOf(key()),
      store: 'bucket',
      isProven: true,
    });
  });

  test('of another controller is refused, and nothing of it is said', async () => {
    const other = key().replace(/^./, (first) => (first === '0' ? '1' : '0'));
    const refused = await prove(other, check).catch((error: unknown) => error as Error);
    expect(refused).toMatchObject({ type: 'CredentialsRefused' });
    expect(JSON.stringify(refused)).not.toContain(other);
  });
});

test('an empty bucket, one that cannot be read and an empty key are three answers', async () => {
  const saying =
    (actual: string): CheckBucket =>
    () =>
      Promise.resolve([line(actual, false)]);
  await expect(prove('key', saying('there is no base'))).rejects.toMatchObject({ type: 'NotFound' });
  const unread: CheckBucket = () =>
    Promise.resolve([{ check: 'bucket-read', expected: '', actual: 'connection refused', ok: false }]);
  await expect(prove('key', unread)).rejects.toMatchObject({ type: 'StoreUnavailable' });
  await expect(prove('\n', saying('x'))).rejects.toMatchObject({ type: 'CredentialsRefused' });
});

test('where the newest base is not encrypted the key has to have the shape of one, and is not called proven', async () => {
  const check: CheckBucket = () => Promise.resolve([line('the newest base is not encrypted', true)]);
  await expect(prove('key', check)).rejects.toMatchObject({ type: 'CredentialsRefused' });
  const key = '0f6b1c2a-7d3e-4b5f-8a9c-1d2e3f4a5b6c9c8b7a6f-5e4d-4c3b-9a2f-1e0d9c8b7a6f';
  await expect(prove(key, check)).resolves.toMatchObject({ isProven: false });
});

test('a config without a controller, or with a bucket of another kind, is refused', async () => {
  const check: CheckBucket = () => Promise.resolve([]);
  await expect(prove('k', check, configOf({}, { controller: undefined }))).rejects.toMatchObject({
    type: 'ConfigInvalid',
  });
  await expect(prove('k', check, configOf({ bucket: 's3' }))).rejects.toMatchObject({ type: 'ConfigInvalid' });
});

test.each<[string, Record<string, unknown>, Record<string, unknown>, string]>([
  ['a bucket of another kind', { bucket: 's3' }, {}, 'backups.controller.bucket'],
  ['a workspace by its old id', {}, { workspace: '9b80933b-bb43' }, 'backups.workspace'],
  ['a database by its old id', {}, { database: 'df66dc63-f346' }, 'backups.database'],
  ['several databases and none chosen', { databases: [{ name: 'a' }, { name: 'b' }] }, {}, 'backups.database'],
  ['a name twice', { databases: [{ name: 'a' }, { name: 'a' }] }, { database: 'a' }, 'backups.controller.databases'],
])('a rule refuses %s', (_title, more, backups, at) => {
  expect(checkConfig(configOf(more, backups)).map((problem) => problem.path)).toEqual([`environments.shop.${at}`]);
});

test('a good config breaks no rule', () => {
  expect(checkConfig(configOf())).toEqual([]);
});

test('the container gets the data directory, the published port and its labels; with the network of the host no port', () => {
  const wanted = {
    ...{ container: 'databasus', image: 'databasus/databasus:v3.49.0', dataDir: '/srv/databasus' },
    ...{ publish: '100.68.157.49:4005', network: undefined, environment: 'shop', run: 'shop/change' },
  };
  const args = createControllerArgs(wanted);
  expect(args.join(' ')).toBe(
    'create --name databasus --restart unless-stopped --pull missing --label pgr.environment=shop --label pgr.run=shop/change ' +
      '--mount type=bind,source=/srv/databasus,target=/databasus-data --publish 100.68.157.49:4005:4005 databasus/databasus:v3.49.0',
  );
  expect(createControllerArgs({ ...wanted, network: 'host' }).join(' ')).toContain('--network host databasus/');
});
