/**
 * Scenario: records in a bucket of a real S3 server.
 * Verified: 1 the same guarantees as in a directory (nothing overwritten, cut tails found); 2 a server that is down is "unavailable" and
 * retried, wrong credentials are "refused" and not retried, a missing bucket is never "no records".
 */
import { CreateBucketCommand, DeleteObjectCommand, ListObjectVersionsCommand, S3Client } from '@aws-sdk/client-s3';

import { createAppendRecord } from '../../activities/audit/append-record.js';
import { createListRecords } from '../../activities/audit/list-records.js';
import { createReadRecord } from '../../activities/audit/read-record.js';
import { createS3RecordStore } from '../../activities/audit/s3-record-store.js';
import { createVerifyRecords } from '../../activities/audit/verify-records.js';
import type { RecordEntry, RecordEntryBody } from '../../shared/contracts/record.js';
import { EMPTY_HEAD, linkEntry } from '../../shared/record-chain.js';
import { startS3 } from '../support/s3.js';

jest.setTimeout(120_000);

type S3 = Awaited<ReturnType<typeof startS3>>;
let s3: S3;
let prefix = '';
let count = 0;

beforeAll(async () => {
  s3 = await startS3();
});
afterAll(async () => {
  await s3.destroy();
});
beforeEach(() => {
  count += 1;
  prefix = `test-${String(count)}/`;
});

const BODIES: RecordEntryBody[] = [
  { kind: 'run-started', runbook: 'pitr', environment: 'lab', requestedBy: 'ana', reason: 'ä', input: {} },
  { kind: 'note', text: 'one' },
  { kind: 'result', status: 'completed', result: null },
];

function chain(bodies = BODIES): RecordEntry[] {
  const entries: RecordEntry[] = [];
  for (const body of bodies) {
    const facts = { run: 'lab/change', runId: '0199aaaa-b', at: `2026-11-21T03:42:0${String(entries.length)}Z`, body };
    entries.push(linkEntry(entries.at(-1) ?? EMPTY_HEAD, facts));
  }
  return entries;
}

type Change = {
  bucket?: string;
  secret?: string;
  endpoint?: string;
  lock?: { mode: 'governance' | 'compliance'; days: number };
};

function storeOf(change: Change = {}) {
  const config = {
    kind: 's3' as const,
    endpoint: change.endpoint ?? s3.endpoint,
    region: 'us-east-1',
    bucket: change.bucket ?? s3.bucket,
    prefix,
    forcePathStyle: true,
    accessKeyId: 'env:ID',
    secretAccessKey: 'env:KEY',
    ...(change.lock === undefined ? {} : { lock: change.lock }),
  };
  return createS3RecordStore(config, (reference) =>
    Promise.resolve(reference === 'env:ID' ? s3.accessKeyId : (change.secret ?? s3.secretAccessKey)),
  );
}

test('writes, reads, lists and verifies; a retry writes nothing; another content is a conflict', async () => {
  const store = storeOf();
  const append = createAppendRecord(store);
  const entries = chain();
  for (const entry of entries) expect(await append({ environment: 'lab', entry })).toEqual({ outcome: 'written' });
  expect(await append({ environment: 'lab', entry: entries[1]! })).toEqual({ outcome: 'already-written' });
  const [, other] = chain([BODIES[0]!, { kind: 'note', text: 'other' }]);
  await expect(append({ environment: 'lab', entry: other! })).rejects.toMatchObject({ type: 'RecordConflict' });
  expect(await createReadRecord(store)({ run: 'lab/change' })).toEqual({ outcome: 'found', entries });
  expect(await createListRecords(store)({})).toMatchObject([{ run: 'lab/change', entries: 3, status: 'completed' }]);
  expect(await createVerifyRecords(store)({})).toEqual({ records: 1, entries: 3, problems: [], unfinished: [] });
});

test('a cut tail shows', async () => {
  const store = storeOf();
  for (const entry of chain()) await createAppendRecord(store)({ environment: 'lab', entry });
  const client = new S3Client({
    endpoint: s3.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey },
  });
  const Key = `${prefix}records/lab.change.0199aaaa-b/000003.json`;
  await client.send(new DeleteObjectCommand({ Bucket: s3.bucket, Key }));
  client.destroy();
  const { problems } = await createVerifyRecords(store)({});
  expect(problems).toEqual([expect.objectContaining({ problem: expect.stringContaining('cut') as string })]);
});

test('wrong credentials are refused, and not tried again', async () => {
  const append = createAppendRecord(storeOf({ secret: 'wrong' }));
  await expect(append({ environment: 'lab', entry: chain()[0]! })).rejects.toMatchObject({
    type: 'CredentialsRefused',
    nonRetryable: true,
  });
});

test('a bucket that is not there is unavailable, never "no records"', async () => {
  const store = storeOf({ bucket: 'none-such' });
  await expect(createListRecords(store)({})).rejects.toMatchObject({ type: 'RecordUnavailable' });
  await expect(createAppendRecord(store)({ environment: 'lab', entry: chain()[0]! })).rejects.toMatchObject({
    type: 'RecordUnavailable',
  });
});

test('a server that does not answer is unavailable, which is retried', async () => {
  const append = createAppendRecord(storeOf({ endpoint: 'http://127.0.0.1:1' }));
  await expect(append({ environment: 'lab', entry: chain()[0]! })).rejects.toMatchObject({
    type: 'RecordUnavailable',
    nonRetryable: false,
  });
});

test('in a bucket with object lock every entry is retained: its versions cannot be deleted before their time', async () => {
  const credentials = { accessKeyId: s3.accessKeyId, secretAccessKey: s3.secretAccessKey };
  const client = new S3Client({ endpoint: s3.endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
  const bucket = 'locked';
  try {
    await client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: true }));
    const store = storeOf({ bucket, lock: { mode: 'compliance', days: 1 } });
    const append = createAppendRecord(store);
    for (const entry of chain()) await append({ environment: 'lab', entry });
    const [folder = ''] = await store.listFolders();
    const listed = await client.send(
      new ListObjectVersionsCommand({ Bucket: bucket, Prefix: `${prefix}records/${folder}/0` }),
    );
    const versions = listed.Versions ?? [];
    expect(versions).toHaveLength(BODIES.length);
    for (const { Key, VersionId } of versions) {
      await expect(
        client.send(new DeleteObjectCommand({ Bucket: bucket, Key: Key!, VersionId: VersionId! })),
      ).rejects.toThrow();
    }
    expect((await createReadRecord(store)({ run: 'lab/change' })).outcome).toBe('found');
  } finally {
    client.destroy();
  }
});
