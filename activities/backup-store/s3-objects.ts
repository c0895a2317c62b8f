/** The few operations on objects that the store needs, over any S3 server. Keys are relative to the configured prefix. */
import {
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { Readable } from 'node:stream';

import type { S3LocationConfig } from '../../config/schema.js';
import { createS3Client, type S3Credentials } from './s3-client.js';
import { kindOfS3Error, s3Failure, type S3Place } from './s3-errors.js';
import { asFailure, proveStored } from './s3-proof.js';
import { readRange } from './s3-read.js';
import { SHORT_PATIENCE, withRetries, type Patience } from './s3-retry.js';
import { uploadParts } from './s3-upload.js';

export type ObjectFacts = {
  key: string;
  bytes: number;
  lastModified: string;
  /** True for a file that is still being written: its end may be half a record. */
  isGrowing?: boolean;
};

export interface ObjectStore {
  /** All objects whose key starts with `prefix` (all pages). An empty list means that there are none, never that the call failed. */
  list(prefix: string): Promise<ObjectFacts[]>;
  /** Null only for a real 404 of the key. */
  head(key: string): Promise<ObjectFacts | null>;
  /**
   * The object or a byte range of it (`end` inclusive); goes on by range after a dropped or truncated body. Throws NotFound for a 404.
   * With `into` (only for a range) the bytes go to the start of that buffer and the answer is the filled part of it.
   */
  get(key: string, range?: { start: number; end: number }, into?: Buffer): Promise<Buffer>;
  /** Writes an object in one request. With `ifAbsent` an existing object stays as it is and the answer is `exists`. */
  put(key: string, body: Buffer, options?: { ifAbsent?: boolean }): Promise<'written' | 'exists'>;
  /** Writes an object of unknown size part by part; nothing is left behind when `parts` throws. */
  putFromParts(key: string, parts: AsyncIterable<Buffer>): Promise<{ bytes: number }>;
}

type Access = { client: S3Client; location: S3LocationConfig; place: S3Place; patience: Patience };

/** Operations on one bucket. `patience` says how long a call is tried again when the server does not answer. */
export function createObjectStore(
  location: S3LocationConfig,
  credentials: S3Credentials,
  patience: Patience = SHORT_PATIENCE,
): ObjectStore {
  const place = { endpoint: location.endpoint ?? 's3.amazonaws.com', bucket: location.bucket };
  const access: Access = { client: createS3Client(location, credentials), location, place, patience };
  return {
    list: (prefix) => listAll(access, prefix),
    head: (key) => headObject(access, key),
    get: (key, range, into) => getObject(access, key, range ?? null, into ?? null),
    put: (key, body, options = {}) => putObject(access, key, body, options.ifAbsent === true),
    putFromParts: (key, parts) =>
      uploadParts(access.client, { Bucket: location.bucket, Key: location.prefix + key }, parts, patience).catch(
        (error: unknown) => {
          throw asFailure(error, place, `put ${key}`);
        },
      ),
  };
}

async function listAll({ client, location, place, patience }: Access, prefix: string): Promise<ObjectFacts[]> {
  const found: ObjectFacts[] = [];
  let token: string | undefined;
  do {
    const page = await withRetries(patience, () =>
      client.send(
        new ListObjectsV2Command({
          Bucket: location.bucket,
          Prefix: location.prefix + prefix,
          ...(token === undefined ? {} : { ContinuationToken: token }),
        }),
      ),
    ).catch((error: unknown) => {
      throw s3Failure(error, place, `list ${prefix}`);
    });
    // A proxy's login page is parsed as a listing without anything in it.
    const isCut = page.IsTruncated === true && page.NextContinuationToken === undefined;
    if (page.IsTruncated === undefined || isCut) {
      throw s3Failure(new Error('not a whole listing'), place, `list ${prefix}`);
    }
    for (const item of page.Contents ?? []) {
      if (item.Key === undefined) continue;
      found.push({
        key: item.Key.slice(location.prefix.length),
        bytes: item.Size ?? 0,
        lastModified: (item.LastModified ?? new Date(0)).toISOString(),
      });
    }
    token = page.IsTruncated ? page.NextContinuationToken : undefined;
  } while (token !== undefined);
  return found;
}

async function headObject(access: Access, key: string): Promise<ObjectFacts | null> {
  const { client, location, place, patience } = access;
  const target = { Bucket: location.bucket, Key: location.prefix + key };
  try {
    const facts = await withRetries(patience, () => client.send(new HeadObjectCommand(target)));
    return {
      key,
      bytes: facts.ContentLength ?? 0,
      lastModified: (facts.LastModified ?? new Date(0)).toISOString(),
    };
  } catch (error) {
    if (kindOfS3Error(error) !== 'missing-key') throw s3Failure(error, place, `head ${key}`);
    await proveBucket(access, key);
    return null;
  }
}

/** An answer to HEAD has no body, so its 404 may mean the bucket: ask for that too before saying "no such key". */
async function proveBucket({ client, location, place, patience }: Access, key: string): Promise<void> {
  try {
    await withRetries(patience, () => client.send(new HeadBucketCommand({ Bucket: location.bucket })));
  } catch (error) {
    const noBucket = kindOfS3Error(error) === 'missing-key';
    throw s3Failure(
      noBucket ? Object.assign(new Error('no such bucket'), { name: 'NoSuchBucket' }) : error,
      place,
      `head ${key}`,
    );
  }
}

async function getObject(
  { client, location, place, patience }: Access,
  key: string,
  range: { start: number; end: number } | null,
  into: Buffer | null,
): Promise<Buffer> {
  try {
    return await readRange(
      async (request) => {
        const answer = await client.send(
          new GetObjectCommand({
            Bucket: location.bucket,
            Key: location.prefix + key,
            ...(request.range === null ? {} : { Range: request.range }),
            ...(request.etag === null ? {} : { IfMatch: request.etag }),
          }),
        );
        // In Node the body is always a stream of Node.
        return {
          body: answer.Body as Readable,
          bytes: answer.ContentLength ?? null,
          etag: answer.ETag ?? null,
          partial: answer.ContentRange !== undefined,
        };
      },
      range,
      into,
      patience,
    );
  } catch (error) {
    throw asFailure(error, place, `get ${key}`);
  }
}

async function putObject(
  { client, location, place, patience }: Access,
  key: string,
  body: Buffer,
  ifAbsent: boolean,
): Promise<'written' | 'exists'> {
  const input = { Bucket: location.bucket, Key: location.prefix + key, Body: body, ContentLength: body.length };
  try {
    const answer = await withRetries(patience, () =>
      client.send(new PutObjectCommand(ifAbsent ? { ...input, IfNoneMatch: '*' } : input)),
    );
    proveStored(answer.ETag, body, place, key);
    return 'written';
  } catch (error) {
    if (ifAbsent && kindOfS3Error(error) === 'changed') return 'exists';
    throw asFailure(error, place, `put ${key}`);
  }
}
