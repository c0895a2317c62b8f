/** One signed request over node:http. */
import * as http from 'node:http';
import * as https from 'node:https';

import type { S3LocationConfig } from '../../config/schema.js';
import type { S3Credentials } from './s3-client.js';
import { signRequest } from './s3-signature.js';

type S3Request = {
  method: 'GET' | 'PUT';
  /** Null asks the bucket. */
  key: string | null;
  query?: Readonly<Record<string, string>>;
  headers?: Readonly<Record<string, string>>;
  body?: Buffer;
};

/** Sends a request; resolves with an answer of success, rejects with an error that kindOfS3Error understands. */
export type SendS3 = (request: S3Request) => Promise<http.IncomingMessage>;

/** Loopback to another continent. */
const CONNECT_TIMEOUT_MS = 5_000;

/** Without a byte for so long the connection is dead; a new one is cheaper. */
const SILENCE_TIMEOUT_MS = 30_000;

/** A sender for one bucket; connections are kept open between requests. */
export function createSender(location: S3LocationConfig, credentials: S3Credentials): SendS3 {
  const endpoint = new URL(location.endpoint ?? `https://s3.${location.region}.amazonaws.com`);
  const { request: open, Agent } = endpoint.protocol === 'https:' ? https : http;
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const host = location.forcePathStyle ? endpoint.host : `${location.bucket}.${endpoint.host}`;
  const folder = endpoint.pathname.replace(/\/$/, '') + (location.forcePathStyle ? `/${location.bucket}` : '');
  return (request) => {
    const body = request.body ?? Buffer.alloc(0);
    const path = request.key === null ? folder || '/' : `${folder}/${location.prefix}${request.key}`;
    const { method, query = {}, headers = {} } = request;
    const signing = { credentials, region: location.region, now: new Date() };
    const signed = signRequest({ method, host, path, query, headers, body }, signing);
    const options = {
      method,
      agent,
      hostname: host.replace(/:\d+$/, ''),
      port: endpoint.port === '' ? undefined : Number(endpoint.port),
      path: signed.target,
      headers: { ...signed.headers, ...(method === 'PUT' ? { 'content-length': String(body.length) } : {}) },
    };
    return new Promise((resolve, reject) => {
      const sent = open(options, (answer) => {
        if ((answer.statusCode ?? 0) < 300) resolve(answer);
        else readError(answer).then(reject, reject);
      });
      guardTimes(sent);
      sent.once('error', reject);
      sent.end(body);
    });
  };
}

function guardTimes(sent: http.ClientRequest): void {
  const giveUp = (what: string) => (): void => {
    sent.destroy(Object.assign(new Error(what), { name: 'TimeoutError' }));
  };
  sent.setTimeout(SILENCE_TIMEOUT_MS, giveUp(`no answer for ${String(SILENCE_TIMEOUT_MS / 1000)} s`));
  sent.once('socket', (socket) => {
    // A connection that was kept open is there already.
    if (!socket.connecting) return;
    const timer = setTimeout(giveUp('the connection was not accepted'), CONNECT_TIMEOUT_MS);
    const stop = (): void => {
      clearTimeout(timer);
    };
    socket.once('connect', stop);
    socket.once('close', stop);
  });
}

/** The whole body as text. */
export async function readText(answer: http.IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of answer) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}

async function readError(answer: http.IncomingMessage): Promise<Error> {
  const text = await readText(answer);
  const name = /<Code>([^<]*)<\/Code>/.exec(text)?.[1] ?? `Http${String(answer.statusCode)}`;
  const message = /<Message>([^<]*)<\/Message>/.exec(text)?.[1] ?? answer.statusMessage ?? '';
  return Object.assign(new Error(message), { name, $metadata: { httpStatusCode: answer.statusCode } });
}
