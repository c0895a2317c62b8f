/** AWS Signature Version 4 for S3 (AWS docs, "Authenticating Requests: Using the Authorization Header"). Pure but for the hash. */
import { createHash, createHmac } from 'node:crypto';

import type { S3Credentials } from './s3-client.js';

export type SignedRequest = {
  method: 'GET' | 'PUT';
  host: string;
  /** Not encoded, starting with a slash. */
  path: string;
  query: Readonly<Record<string, string>>;
  headers: Readonly<Record<string, string>>;
  body: Buffer;
};

export type Signing = { credentials: S3Credentials; region: string; now: Date };

const ALGORITHM = 'AWS4-HMAC-SHA256';

/** All headers of the request with its signature, and the encoded path with the query. */
export function signRequest(
  request: SignedRequest,
  signing: Signing,
): { headers: Record<string, string>; target: string } {
  const { credentials, region, now } = signing;
  const stamp = now.toISOString().replace(/[-:]|\.\d{3}/g, '');
  const scope = `${stamp.slice(0, 8)}/${region}/s3/aws4_request`;
  const bodyHash = hash(request.body);
  const headers: Record<string, string> = {
    ...request.headers,
    host: request.host,
    'x-amz-content-sha256': bodyHash,
    'x-amz-date': stamp,
  };
  const names = Object.keys(headers).sort();
  const path = request.path.split('/').map(encode).join('/');
  const query = Object.entries(request.query)
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join('&');
  const canonical = [
    request.method,
    path,
    query,
    ...names.map((name) => `${name}:${(headers[name] ?? '').trim()}`),
    '',
    names.join(';'),
    bodyHash,
  ].join('\n');
  const toSign = [ALGORITHM, stamp, scope, hash(Buffer.from(canonical))].join('\n');
  const key = [stamp.slice(0, 8), region, 's3', 'aws4_request'].reduce<Buffer | string>(
    (secret, part) => hmac(secret, part),
    `AWS4${credentials.secretAccessKey}`,
  );
  const signature = hmac(key, toSign).toString('hex');
  const authorization = `${ALGORITHM} Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  return { headers: { ...headers, authorization }, target: query === '' ? path : `${path}?${query}` };
}

/** Everything but unreserved characters (RFC 3986), in upper case. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}

function hash(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
