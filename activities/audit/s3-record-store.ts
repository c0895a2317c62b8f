/**
 * Records as objects: `<prefix>records/<folder>/000001.json` …, `head.json` beside them. Entries are created with If-None-Match
 * where the server knows it, and looked at before where it does not. A bucket with object lock keeps every version that was ever
 * written; `record.lock` in the config sets the retention of each object, else the bucket's own default holds.
 */
import {
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type PutObjectCommandInput,
} from '@aws-sdk/client-s3';
import { createHash } from 'node:crypto';

import type { RecordStoreConfig } from '../../config/schema.js';
import { mapLimited } from './map-limited.js';
import { entryNameFor, HEAD_NAME, parseHead, seqOfEntryName, type RecordStore } from './record-store.js';
import { httpStatusOf, recordStoreFailure } from './s3-record-failure.js';

type S3RecordConfig = Extract<RecordStoreConfig, { kind: 's3' }>;
type Access = { client: S3Client; config: S3RecordConfig; root: string; now: () => Date };

const PARALLEL = 16;
const DAY_MS = 86_400_000;
/** The SDK's own retries (throttling, 5xx, broken connections); after them the activity's retries go on. */
const SDK_ATTEMPTS = 4;
const CONNECT_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 30_000;

/** A store in a bucket. Nothing is contacted before the first call. Failures are RecordUnavailable or CredentialsRefused. */
export function createS3RecordStore(
  config: S3RecordConfig,
  resolveSecret: (reference: string) => Promise<string>,
  now: () => Date = () => new Date(),
): RecordStore {
  const root = `${config.prefix}records/`;
  const place = `s3://${config.bucket}/${root}`;
  let connected: Promise<S3Client> | null = null;
  const access = async (): Promise<Access> => {
    connected ??= connect(config, resolveSecret);
    try {
      return { client: await connected, config, root, now };
    } catch (error) {
      connected = null; // a secret that could not be read now may be readable later
      throw error;
    }
  };
  const call = async <T>(work: (access: Access) => Promise<T>): Promise<T> => {
    const ready = await access();
    try {
      return await work(ready);
    } catch (error) {
      throw recordStoreFailure(place, error);
    }
  };
  return {
    listFolders: () => call((s3) => listFolders(s3)),
    readFolder: (folder) => call((s3) => readFolder(s3, folder)),
    readEntry: (folder, seq) => call((s3) => readText(s3, `${root}${folder}/${entryNameFor(seq)}`)),
    createEntry: (folder, seq, text) => call((s3) => createObject(s3, `${root}${folder}/${entryNameFor(seq)}`, text)),
    readHead: (folder) =>
      call(async (s3) => {
        const text = await readText(s3, `${root}${folder}/${HEAD_NAME}`);
        return text === null ? null : parseHead(text);
      }),
    writeHead: (folder, head) =>
      call(async (s3) => {
        await s3.client.send(
          new PutObjectCommand(objectFor(s3, `${root}${folder}/${HEAD_NAME}`, JSON.stringify(head))),
        );
      }),
  };
}

async function connect(
  config: S3RecordConfig,
  resolveSecret: (reference: string) => Promise<string>,
): Promise<S3Client> {
  const [accessKeyId, secretAccessKey] = await Promise.all([
    resolveSecret(config.accessKeyId),
    resolveSecret(config.secretAccessKey),
  ]);
  return new S3Client({
    region: config.region,
    ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
    forcePathStyle: config.forcePathStyle,
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: SDK_ATTEMPTS,
    // Many S3 servers do not know the newer trailing checksums; Content-MD5 (below) is known everywhere.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: CONNECT_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS },
  });
}

function objectFor({ config, now }: Access, key: string, text: string): PutObjectCommandInput {
  const lock = config.lock;
  return {
    Bucket: config.bucket,
    Key: key,
    Body: text,
    ContentType: 'application/json',
    // A put under object lock is refused without it (S3 API reference, PutObject).
    ContentMD5: createHash('md5').update(text).digest('base64'),
    ...(lock === undefined
      ? {}
      : {
          ObjectLockMode: lock.mode === 'compliance' ? 'COMPLIANCE' : 'GOVERNANCE',
          ObjectLockRetainUntilDate: new Date(now().getTime() + lock.days * DAY_MS),
        }),
  };
}

async function createObject(s3: Access, key: string, text: string): Promise<'created' | 'exists'> {
  // Servers that ignore If-None-Match would overwrite: look first. The workflow is the only writer of a record.
  if ((await readText(s3, key)) !== null) return 'exists';
  const object = objectFor(s3, key, text);
  try {
    await s3.client.send(new PutObjectCommand({ ...object, IfNoneMatch: '*' }));
  } catch (error) {
    const status = httpStatusOf(error);
    if (status === 412 || status === 409) return 'exists';
    if (status !== 501) throw error;
    await s3.client.send(new PutObjectCommand(object));
  }
  return 'created';
}

async function readText({ client, config }: Access, key: string): Promise<string | null> {
  try {
    const { Body } = await client.send(new GetObjectCommand({ Bucket: config.bucket, Key: key }));
    return Body === undefined ? null : await Body.transformToString('utf8');
  } catch (error) {
    // A missing bucket is a 404 as well, and is not "no such entry".
    if (error instanceof Error && (error.name === 'NoSuchKey' || error.name === 'NotFound')) return null;
    throw error;
  }
}

async function readFolder(s3: Access, folder: string): Promise<{ name: string; seq: number | null; text: string }[]> {
  const prefix = `${s3.root}${folder}/`;
  const keys = await listAll(s3, prefix);
  const names = keys.objects.map((key) => key.slice(prefix.length)).filter((name) => name !== HEAD_NAME);
  const texts = await mapLimited(names.sort(), PARALLEL, async (name) => ({
    name,
    seq: seqOfEntryName(name),
    text: await readText(s3, `${prefix}${name}`),
  }));
  return texts.flatMap(({ text, ...rest }) => (text === null ? [] : [{ ...rest, text }]));
}

async function listFolders(s3: Access): Promise<string[]> {
  const { prefixes } = await listAll(s3, s3.root);
  return prefixes.map((prefix) => prefix.slice(s3.root.length).replace(/\/$/, ''));
}

async function listAll({ client, config }: Access, prefix: string): Promise<{ objects: string[]; prefixes: string[] }> {
  const objects: string[] = [];
  const prefixes: string[] = [];
  let token: string | undefined;
  do {
    const page = await client.send(
      new ListObjectsV2Command({ Bucket: config.bucket, Prefix: prefix, Delimiter: '/', ContinuationToken: token }),
    );
    objects.push(...(page.Contents ?? []).flatMap(({ Key }) => (Key === undefined ? [] : [Key])));
    prefixes.push(...(page.CommonPrefixes ?? []).flatMap(({ Prefix }) => (Prefix === undefined ? [] : [Prefix])));
    token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
  } while (token !== undefined);
  return { objects, prefixes };
}
