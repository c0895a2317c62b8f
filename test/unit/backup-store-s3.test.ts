/** A server that misbehaves in ways that a real one does only sometimes: 5xx, bodies that end early, objects that change. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { kindOfS3Error } from '../../activities/backup-store/s3-errors.js';
import { createObjectStore, type ObjectStore } from '../../activities/backup-store/s3-objects.js';
import { withRetries, type Patience } from '../../activities/backup-store/s3-retry.js';
import { signRequest } from '../../activities/backup-store/s3-signature.js';
import { createSlimObjects } from '../../activities/backup-store/s3-slim.js';
import { parseStoreConfig } from '../../activities/backup-store/wal-push-config.js';
import { parse as load } from 'yaml';

import { configSchema } from '../../config/schema.js';

const QUICK: Patience = { totalMs: 2_000, firstPauseMs: 5, longestPauseMs: 20 };
const CREDENTIALS = { accessKeyId: 'key', secretAccessKey: 'secret' };
const BODY = Buffer.from('0123456789'.repeat(1000));

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

let server: Server;
let handler: Handler;
let seen: string[];

beforeEach(async () => {
  seen = [];
  server = createServer((request, response) => {
    seen.push(`${request.method ?? ''} ${request.headers.range ?? 'whole'}`);
    request.resume();
    handler(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

type Client = Pick<ObjectStore, 'list' | 'get' | 'put'>;
const CLIENTS: [string, typeof createSlimObjects][] = [
  ['the S3 library', (...args): Client => createObjectStore(...args)],
  ['the small client', createSlimObjects],
];

/** Serves BODY with its ranges, but at most `limit` bytes of a body. */
function serve(request: IncomingMessage, response: ServerResponse, limit: number, etag = '"v1"'): void {
  const match = /bytes=(\d+)-(\d*)/.exec(request.headers.range ?? '');
  const start = Number(match?.[1] ?? 0);
  const end = match?.[2] === undefined || match[2] === '' ? BODY.length - 1 : Number(match[2]);
  if (request.headers['if-match'] !== undefined && request.headers['if-match'] !== etag) {
    response.writeHead(412).end();
    return;
  }
  const part = BODY.subarray(start, end + 1);
  const range =
    match === null ? {} : { 'content-range': `bytes ${String(start)}-${String(end)}/${String(BODY.length)}` };
  response.writeHead(match === null ? 200 : 206, { 'content-length': String(part.length), etag, ...range });
  response.write(part.subarray(0, limit), () => {
    if (limit < part.length) response.destroy();
    else response.end();
  });
}

describe.each(CLIENTS)('%s', (_, create) => {
  const client = (): Client => {
    const { port } = server.address() as AddressInfo;
    const location = {
      region: 'us-east-1',
      bucket: 'b',
      prefix: '',
      forcePathStyle: true,
      accessKeyId: '',
      secretAccessKey: '',
    };
    return create({ ...location, endpoint: `http://127.0.0.1:${String(port)}` }, CREDENTIALS, QUICK);
  };

  test('a 5xx passes', async () => {
    let failures = 3;
    handler = (request, response) => {
      failures -= 1;
      if (failures >= 0) response.writeHead([500, 502, 503][failures] ?? 500).end();
      else serve(request, response, Number.MAX_SAFE_INTEGER);
    };
    expect((await client().get('k')).equals(BODY)).toBe(true);
    expect(seen).toHaveLength(4);
  });

  test('a body that ends early is taken up where it ended, again and again, and never from the start', async () => {
    handler = (request, response) => {
      serve(request, response, 3_000);
    };
    expect((await client().get('k')).equals(BODY)).toBe(true);
    expect(seen).toEqual(['GET whole', 'GET bytes=3000-', 'GET bytes=6000-', 'GET bytes=9000-']);
    seen.length = 0;
    expect((await client().get('k', { start: 1000, end: 7999 })).equals(BODY.subarray(1000, 8000))).toBe(true);
    expect(seen).toEqual(['GET bytes=1000-7999', 'GET bytes=4000-7999', 'GET bytes=7000-7999']);
  });

  test('an object that changes between two parts is an error, not a mixture', async () => {
    let version = 0;
    handler = (request, response) => {
      version += 1;
      serve(request, response, 3_000, `"v${String(version)}"`);
    };
    await expect(client().get('k')).rejects.toMatchObject({ type: 'StoreUnavailable' });
  });

  test('a server that ignores the range is an error, not wrong bytes', async () => {
    handler = (request, response) => {
      delete request.headers.range;
      serve(request, response, Number.MAX_SAFE_INTEGER);
    };
    await expect(client().get('k', { start: 10, end: 19 })).rejects.toMatchObject({ type: 'StoreUnavailable' });
  });

  test('an object that the server stored differently is not taken for stored', async () => {
    handler = (_request, response) => {
      response.writeHead(200, { etag: '"0123456789abcdef0123456789abcdef"' }).end();
    };
    await expect(client().put('k', BODY)).rejects.toThrow('stored something else than was sent');
  });

  test('a page that is no listing is an error, not an empty archive', async () => {
    handler = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>login</html>');
    };
    await expect(client().list('wal/')).rejects.toMatchObject({ type: 'StoreUnavailable' });
  });

  test('a server that never recovers is StoreUnavailable, with endpoint and bucket, after its patience', async () => {
    handler = (_request, response) => {
      response.writeHead(503).end();
    };
    await expect(client().get('k')).rejects.toMatchObject({
      type: 'StoreUnavailable',
      message: expect.stringMatching(/bucket b at http:\/\/127\.0\.0\.1:\d+ does not answer \(get k\)/) as string,
    });
  });
});

test.each([
  [{ name: 'NoSuchBucket', $metadata: { httpStatusCode: 404 } }, 'missing-bucket'],
  [{ name: 'NoSuchKey', $metadata: { httpStatusCode: 404 } }, 'missing-key'],
  [{ name: '403', $metadata: { httpStatusCode: 403 } }, 'refused'],
  [{ name: 'SignatureDoesNotMatch', $metadata: { httpStatusCode: 403 } }, 'refused'],
  [{ name: 'PreconditionFailed', $metadata: { httpStatusCode: 412 } }, 'changed'],
  [{ name: 'NotImplemented', $metadata: { httpStatusCode: 501 } }, 'not-supported'],
  [{ name: 'InternalError', $metadata: { httpStatusCode: 500 } }, 'passing'],
  [{ name: 'Error', code: 'ECONNREFUSED' }, 'passing'],
  [{ name: 'Error', code: 'EHOSTUNREACH' }, 'passing'],
  [{ name: 'TypeError' }, 'unknown'],
])('%j is %s', (error, kind) => {
  expect(kindOfS3Error(error)).toBe(kind);
});

test('patience counts from the last progress, and what cannot pass is not tried again', async () => {
  let calls = 0;
  const refuse = (): Promise<never> => {
    calls += 1;
    return Promise.reject(Object.assign(new Error('no'), { name: 'AccessDenied' }));
  };
  await expect(withRetries(QUICK, refuse)).rejects.toThrow('no');
  expect(calls).toBe(1);
});

/** AWS docs, "Signature Calculations: Examples", GET Object. */
test('a request is signed as the documentation of S3 shows', () => {
  const { headers } = signRequest(
    {
      method: 'GET',
      host: 'examplebucket.s3.amazonaws.com',
      path: '/test.txt',
      query: {},
      headers: { range: 'bytes=0-9' },
      body: Buffer.alloc(0),
    },
    {
      credentials: {
        accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
        secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
      },
      region: 'us-east-1',
      now: new Date('2013-05-24T00:00:00Z'),
    },
  );
  expect(headers['authorization']).toContain(
    'Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  );
});

const YAML = `
version: 1
stateDir: /var/lib/pgr
record: { kind: directory, path: /var/lib/pgr/record }
environments:
  production:
    postgres: {}
    nodes:
      - { name: dallas, host: a, address: 10.0.0.1, port: 5432, dataDir: /pg, binDir: /bin, runtime: { kind: process } }
    routing: { kind: multihost, url: 'postgresql://10.0.0.1/app' }
    backups:
      kind: s3
      bucket: backups
      accessKeyId: env:KEY
      secretAccessKey: file:/run/secrets/s3
`;

test('wal-push reads the same store out of a config as everybody else, defaults included', () => {
  const parse = (text: string): unknown => configSchema.parse(load(text)).environments['production']?.backups;
  expect(parseStoreConfig(YAML, 'production')).toEqual(parse(YAML));
  const full = `${YAML}      endpoint: http://127.0.0.1:9000
      region: eu-central-1
      prefix: site/
      walPrefix: archive/
      compression: gzip
      forcePathStyle: false
`;
  expect(parseStoreConfig(full, 'production')).toEqual(parse(full));
});

test('a mistake elsewhere in the config does not stop the archive; one in its own part says where', () => {
  expect(parseStoreConfig(YAML.replace('version: 1', 'version: 7\nunknown: true'), 'production').bucket).toBe(
    'backups',
  );
  expect(() => parseStoreConfig(YAML.replace('bucket: backups', 'bucket: 7'), 'production')).toThrow(
    'environments.production.backups.bucket: expected a string',
  );
  expect(() => parseStoreConfig(YAML, 'staging')).toThrow('there is no environment "staging"');
});
