/** Scenario: the object operations against a real S3 server that also drops connections, goes away and refuses. */
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { randomBytes } from 'node:crypto';

import { createObjectStore, type ObjectStore } from '../../../activities/backup-store/s3-objects.js';
import { createS3Client, type S3Credentials } from '../../../activities/backup-store/s3-client.js';
import type { Patience } from '../../../activities/backup-store/s3-retry.js';
import { createSlimObjects } from '../../../activities/backup-store/s3-slim.js';
import type { S3LocationConfig } from '../../../config/schema.js';
import { destroyAllS3, startS3, type TestS3 } from '../../support/s3.js';

let server: TestS3;
let objects: ObjectStore;

beforeAll(async () => {
  server = await startS3();
  objects = createObjectStore({ ...server.location, prefix: 'site/' }, server);
}, 90_000);
afterAll(destroyAllS3);

async function* pieces(...buffers: Buffer[]): AsyncGenerator<Buffer> {
  for (const buffer of buffers) yield await Promise.resolve(buffer);
}

async function failureType(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'no failure',
    (error: unknown) => (error as { type?: string }).type ?? String(error),
  );
}

test('what was put is listed below its prefix, described and read back', async () => {
  const body = randomBytes(100_000);
  expect(await objects.put('a/one', body)).toBe('written');
  expect(await objects.put('b/two', Buffer.from('x'))).toBe('written');
  expect((await objects.list('a/')).map(({ key, bytes }) => ({ key, bytes }))).toEqual([
    { key: 'a/one', bytes: 100_000 },
  ]);
  expect((await objects.head('a/one'))?.bytes).toBe(100_000);
  expect((await objects.get('a/one')).equals(body)).toBe(true);
  expect((await objects.get('a/one', { start: 10, end: 19 })).equals(body.subarray(10, 20))).toBe(true);
});

test('a missing key is an answer of head and a NotFound of get', async () => {
  expect(await objects.head('a/none')).toBeNull();
  expect(await failureType(objects.get('a/none'))).toBe('NotFound');
  expect(await objects.list('none/')).toEqual([]);
});

test('a missing bucket is never taken for a missing key', async () => {
  const elsewhere = createObjectStore({ ...server.location, bucket: 'nowhere' }, server);
  expect(await failureType(elsewhere.head('a/one'))).toBe('PreconditionFailed');
  expect(await failureType(elsewhere.list(''))).toBe('PreconditionFailed');
  expect(await failureType(elsewhere.get('a/one'))).toBe('PreconditionFailed');
});

test('wrong credentials are refused by name, with endpoint and bucket, without the secret', async () => {
  const wrong = { accessKeyId: server.accessKeyId, secretAccessKey: 'wrong-secret-value' };
  const stranger = createObjectStore(server.location, wrong);
  const calls = [
    () => stranger.list(''),
    () => stranger.head('x'),
    () => stranger.get('x'),
    () => stranger.put('x', Buffer.from('x')),
  ];
  for (const call of calls) {
    const error = await call().then(
      () => null,
      (reason: unknown) => reason as Error & { type?: string },
    );
    expect(error?.type).toBe('CredentialsRefused');
    expect(error?.message).toContain(server.bucket);
    expect(error?.message).not.toContain('wrong-secret-value');
  }
});

test('an object of unknown size is written in parts and read back', async () => {
  const body = randomBytes(30 * 1024 * 1024);
  const cut = [body.subarray(0, 7_000_000), body.subarray(7_000_000, 21_000_000), body.subarray(21_000_000)];
  expect(await objects.putFromParts('big/one', pieces(...cut))).toEqual({ bytes: body.length });
  expect((await objects.get('big/one')).equals(body)).toBe(true);
  expect(await objects.putFromParts('big/small', pieces(Buffer.from('abc')))).toEqual({ bytes: 3 });
  expect((await objects.get('big/small')).toString()).toBe('abc');
}, 60_000);

test('a producer that fails in the middle leaves no object', async () => {
  async function* failing(): AsyncGenerator<Buffer> {
    yield randomBytes(20 * 1024 * 1024);
    yield await Promise.reject(new Error('the source broke'));
  }
  await expect(objects.putFromParts('big/broken', failing())).rejects.toThrow();
  expect(await objects.head('big/broken')).toBeNull();
});

test('parts that a killed upload left behind are removed by the next upload of the same object', async () => {
  const client = createS3Client(server.location, server);
  const target = { Bucket: server.bucket, Key: 'site/big/left' };
  const other = { Bucket: server.bucket, Key: 'site/big/left-alone' };
  await client.send(new CreateMultipartUploadCommand(target));
  await client.send(new CreateMultipartUploadCommand(other));
  await objects.putFromParts('big/left', pieces(randomBytes(20 * 1024 * 1024), randomBytes(1)));
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: server.bucket }));
  expect(Uploads.map(({ Key }) => Key)).toEqual([other.Key]);
  client.destroy();
});

type Client = Pick<ObjectStore, 'list' | 'get' | 'put'>;

/** Both clients must behave the same: one of them archives, the other looks whether it is archived. */
const CLIENTS: [string, (location: S3LocationConfig, credentials: S3Credentials, patience?: Patience) => Client][] = [
  ['the S3 library', createObjectStore],
  ['the small client', createSlimObjects],
];

describe.each(CLIENTS)('with %s', (name, create) => {
  const folder = name.includes('small') ? 'small/' : 'library/';
  let client: Client;
  beforeAll(() => {
    client = create({ ...server.location, prefix: `site/${folder}` }, server);
  });

  test('what was put is listed below its prefix and read back', async () => {
    const body = randomBytes(100_000);
    expect(await client.put('a/one & two', body)).toBe('written');
    expect(await client.put('b/two', Buffer.from('x'))).toBe('written');
    const listed = await client.list('a/');
    expect(listed.map(({ key, bytes }) => ({ key, bytes }))).toEqual([{ key: 'a/one & two', bytes: 100_000 }]);
    expect(Math.abs(Date.parse(listed[0]!.lastModified) - Date.now())).toBeLessThan(60_000);
    expect((await client.get('a/one & two')).equals(body)).toBe(true);
    expect((await client.get('a/one & two', { start: 10, end: 19 })).equals(body.subarray(10, 20))).toBe(true);
    const target = Buffer.alloc(64);
    expect((await client.get('a/one & two', { start: 0, end: 31 }, target)).equals(target.subarray(0, 32))).toBe(true);
    expect(target.subarray(0, 32).equals(body.subarray(0, 32))).toBe(true);
  });

  test('a missing key is NotFound, a missing bucket is not', async () => {
    expect(await failureType(client.get('a/none'))).toBe('NotFound');
    expect(await client.list('none/')).toEqual([]);
    const elsewhere = create({ ...server.location, bucket: 'nowhere' }, server);
    expect(await failureType(elsewhere.list(''))).toBe('PreconditionFailed');
    expect(await failureType(elsewhere.get('a/one'))).toBe('PreconditionFailed');
  });

  test('wrong credentials are refused by name, with endpoint and bucket, without the secret', async () => {
    const wrong = { accessKeyId: server.accessKeyId, secretAccessKey: 'wrong-secret-value' };
    const stranger = create(server.location, wrong);
    for (const call of [() => stranger.list(''), () => stranger.get('x'), () => stranger.put('x', Buffer.from('x'))]) {
      const error = await call().then(
        () => null,
        (reason: unknown) => reason as Error & { type?: string },
      );
      expect(error?.type).toBe('CredentialsRefused');
      expect(error?.message).toContain(server.bucket);
      expect(error?.message).not.toContain('wrong-secret-value');
    }
  });

  test('an empty object is an object', async () => {
    await client.put('a/empty', Buffer.alloc(0));
    expect((await client.get('a/empty')).length).toBe(0);
    expect((await client.list('a/empty')).map(({ bytes }) => bytes)).toEqual([0]);
  });

  test('a listing of more than one page is complete', async () => {
    const names = Array.from({ length: 1_050 }, (_, index) => `pages/${String(index).padStart(5, '0')}`);
    for (let start = 0; start < names.length; start += 50) {
      await Promise.all(names.slice(start, start + 50).map((name) => client.put(name, Buffer.from('x'))));
    }
    expect((await client.list('pages/')).map(({ key }) => key).sort()).toEqual(names);
  }, 60_000);

  test('a conditional put leaves the existing object as it is', async () => {
    expect(await client.put('a/once', Buffer.from('first'), { ifAbsent: true })).toBe('written');
    expect(await client.put('a/once', Buffer.from('second'), { ifAbsent: true })).toBe('exists');
    expect((await client.get('a/once')).toString()).toBe('first');
  });

  test('two conditional puts at the same moment: one of them wins', async () => {
    const answers = await Promise.all(
      [1, 2, 3, 4].map((n) => client.put('a/race', Buffer.from(String(n)), { ifAbsent: true })),
    );
    expect(answers.filter((answer) => answer === 'written')).toHaveLength(1);
  });

  test('a body that is cut goes on by range instead of starting again', async () => {
    const body = randomBytes(20 * 1024 * 1024);
    await client.put('big/cut', body);
    const before = server.bytesServed();
    server.cutConnections(12 * 1024 * 1024, 1);
    expect((await client.get('big/cut')).equals(body)).toBe(true);
    // What was in flight when the connection was cut may be sent twice, the twelve megabytes before it not.
    expect(server.bytesServed() - before).toBeLessThan(body.length + 4 * 1024 * 1024);
  }, 30_000);

  test('a server that is gone is StoreUnavailable, and one that comes back is used again', async () => {
    await client.put('a/kept', Buffer.from('kept'));
    await server.stop();
    const started = Date.now();
    expect(await failureType(client.get('a/kept'))).toBe('StoreUnavailable');
    expect(Date.now() - started).toBeLessThan(10_000);
    const waiting = create(server.location, server, {
      totalMs: 60_000,
      firstPauseMs: 100,
      longestPauseMs: 500,
    });
    const reading = waiting.get(`site/${folder}a/kept`);
    await server.start();
    expect((await reading).toString()).toBe('kept');
  }, 90_000);
});
