/**
 * Reading and writing objects without the S3 library. Loading that takes longer than archiving a segment, and `wal-push` is started once per
 * segment; for the mover it is a third of its memory. Everything that is not on a hot path uses s3-objects.ts.
 */
import type { IncomingMessage } from 'node:http';

import type { S3LocationConfig } from '../../config/schema.js';
import type { S3Credentials } from './s3-client.js';
import { kindOfS3Error, s3Failure, type S3Place } from './s3-errors.js';
import { createSender, readText, type SendS3 } from './s3-http.js';
import type { ObjectFacts, ObjectStore } from './s3-objects.js';
import { asFailure, proveStored } from './s3-proof.js';
import { readRange, type RangeAnswer } from './s3-read.js';
import { SHORT_PATIENCE, withRetries, type Patience } from './s3-retry.js';

/** The operations of the hot paths. */
export type SlimObjects = Pick<ObjectStore, 'list' | 'get' | 'put'>;

type Access = { send: SendS3; prefix: string; place: S3Place; patience: Patience };

/** The same behaviour as createObjectStore, for these operations. */
export function createSlimObjects(
  location: S3LocationConfig,
  credentials: S3Credentials,
  patience: Patience = SHORT_PATIENCE,
): SlimObjects {
  const place = { endpoint: location.endpoint ?? 's3.amazonaws.com', bucket: location.bucket };
  const access = { send: createSender(location, credentials), prefix: location.prefix, place, patience };
  return {
    list: (prefix) => list(access, prefix),
    get: (key, range, into) => get(access, key, range ?? null, into ?? null),
    put: (key, body, options = {}) => put(access, key, body, options.ifAbsent === true),
  };
}

async function list({ send, prefix, place, patience }: Access, wanted: string): Promise<ObjectFacts[]> {
  const found: ObjectFacts[] = [];
  let token: string | null = null;
  do {
    const query = {
      'list-type': '2',
      prefix: prefix + wanted,
      ...(token === null ? {} : { 'continuation-token': token }),
    };
    const page: string = await withRetries(patience, async () =>
      readText(await send({ method: 'GET', key: null, query })),
    ).catch((error: unknown) => {
      throw s3Failure(error, place, `list ${wanted}`);
    });
    token = field(page, 'IsTruncated') === 'true' ? field(page, 'NextContinuationToken') : null;
    if (!page.includes('<ListBucketResult') || token === '') {
      throw s3Failure(new Error('not a whole listing'), place, `list ${wanted}`);
    }
    for (const [, item = ''] of page.matchAll(/<Contents>([\s\S]*?)<\/Contents>/g)) {
      found.push({
        key: field(item, 'Key').slice(prefix.length),
        bytes: Number(field(item, 'Size')),
        lastModified: new Date(field(item, 'LastModified')).toISOString(),
      });
    }
  } while (token !== null);
  return found;
}

function field(xml: string, name: string): string {
  const text = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1] ?? '';
  return text.replace(/&(amp|lt|gt|quot|apos|#\d+);/g, (entity, code: string) => {
    if (code.startsWith('#')) return String.fromCodePoint(Number(code.slice(1)));
    return { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }[code] ?? entity;
  });
}

async function get(
  { send, place, patience }: Access,
  key: string,
  range: { start: number; end: number } | null,
  into: Buffer | null,
): Promise<Buffer> {
  try {
    return await readRange(
      async (request) => {
        const headers = {
          ...(request.range === null ? {} : { range: request.range }),
          ...(request.etag === null ? {} : { 'if-match': request.etag }),
        };
        return describeBody(await send({ method: 'GET', key, headers }));
      },
      range,
      into,
      patience,
    );
  } catch (error) {
    throw asFailure(error, place, `get ${key}`);
  }
}

function describeBody(answer: IncomingMessage): RangeAnswer {
  const length = answer.headers['content-length'];
  return {
    body: answer,
    bytes: length === undefined ? null : Number(length),
    etag: answer.headers.etag ?? null,
    partial: answer.statusCode === 206,
  };
}

async function put(
  { send, place, patience }: Access,
  key: string,
  body: Buffer,
  ifAbsent: boolean,
): Promise<'written' | 'exists'> {
  try {
    const headers = ifAbsent ? { 'if-none-match': '*' } : {};
    const etag = await withRetries(patience, async () => {
      const answer = await send({ method: 'PUT', key, headers, body });
      await readText(answer);
      return answer.headers.etag;
    });
    proveStored(etag, body, place, key);
    return 'written';
  } catch (error) {
    if (ifAbsent && kindOfS3Error(error) === 'changed') return 'exists';
    throw asFailure(error, place, `put ${key}`);
  }
}
