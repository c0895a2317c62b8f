/**
 * Stands in for a Databasus controller (v3.49): lists, tokens and streams of the recorded ones, with the behaviours that were measured, traps included.
 * It holds the two clusters of the recorded bucket; tests change its state directly.
 */
import { createReadStream, readdirSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomBytes, randomUUID } from 'node:crypto';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { BUCKET_DIR, DATABASUS_DIR } from './databasus.js';

export type ControllerRow = {
  id: string;
  type: 'FULL' | 'INCREMENTAL' | 'WAL';
  status: 'IN_PROGRESS' | 'COMPLETED' | 'ERROR' | 'CHAIN_BROKEN' | 'CANCELED';
  timelineId: number;
  startLsn: string;
  stopLsn: string;
  rootFullBackupId?: string;
  parentIncrementalBackupId?: string;
  walFilename?: string;
  sizeMb: number;
  failMessage?: string;
  createdAt: string;
  completedAt?: string;
};

type ControllerDatabase = {
  id: string;
  name: string;
  version: string;
  systemIdentifier: string;
  rows: ControllerRow[];
  config: Record<string, unknown> & { isBackupsEnabled: boolean };
  /** What the restore stream sends. */
  stream: () => AsyncIterable<Buffer>;
};

export type Controller = {
  url: string;
  email: string;
  password: string;
  databases: Map<string, ControllerDatabase>;
  /** Method and path of every request, tokens left out. */
  requests: string[];
  role: string;
  faults: {
    /** Status for the next answers, first one first; `null` passes. */
    statuses: (number | null)[];
    /** Streams: end the body cleanly after so many bytes (what a missing object does), once each. */
    cutAt: number[];
    /** Streams: break the connection after so many bytes, once each. */
    breakAt: number[];
    /** Streams: never send a byte, and keep the user's lock. */
    hang: boolean;
  };
  /** Called before the list of backups is answered. */
  beforeList: () => Promise<void>;
  /** Called for every trigger. */
  onTrigger: (database: ControllerDatabase, type: string) => void;
  /** Tokens and open downloads die, sign-ins live on. */
  restart(): void;
  /** Streams that were begun. */
  streams(): number;
  stop(): Promise<void>;
};

export const P17 = 'ca670e8e-a329-4cf4-ba0f-c40c1eb83c38';
export const P18 = '4b2f4837-7557-42bf-b664-4ce5646c7980';
export const LOGICAL = '3805932b-98bc-4681-a5fd-9e3415e97c2c';
export const LOGICAL_BACKUP = 'ae9921fd-58ec-4870-92a5-a0f01e3bffe7';
const WORKSPACE = '9b80933b-bb43-4479-850c-8d44851b0212';
/** Another user, with the same password, who is a member of the workspace. */
export const OPERATOR = 'pgr@example.com';
/** Of a lock without a heartbeat. */
const LOCK_MS = 1_000;

type State = Controller & {
  /** Tokens with the e-mail address that signed in. */
  jwts: Map<string, string>;
  tokens: Map<string, string>;
  lockedUntil: number;
  open: Set<ServerResponse>;
  begun: number;
};

/** Starts one on a free loopback port. */
export async function startController(): Promise<Controller> {
  const state = newState();
  const server = createServer((request, response) => {
    handle(state, request, response).catch((error: unknown) => {
      response.destroy(error instanceof Error ? error : undefined);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  state.url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  state.stop = () => stop(state, server);
  return state;
}

function newState(): State {
  const state: State = {
    url: '',
    email: 'restore@example.com',
    password: 'a long password of a test',
    databases: new Map([P17, P18].map((id) => [id, recorded(id)])),
    requests: [],
    role: 'WORKSPACE_VIEWER',
    faults: { statuses: [], cutAt: [], breakAt: [], hang: false },
    beforeList: () => Promise.resolve(),
    onTrigger: () => undefined,
    restart() {
      state.tokens.clear();
      state.lockedUntil = 0;
      for (const response of state.open) response.destroy();
    },
    streams: () => state.begun,
    stop: () => Promise.resolve(),
    jwts: new Map(),
    tokens: new Map(),
    lockedUntil: 0,
    open: new Set(),
    begun: 0,
  };
  return state;
}

async function stop(state: State, server: Server): Promise<void> {
  for (const response of state.open) response.destroy();
  server.closeAllConnections();
  await new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
}

/** Rows as the controller would list them, made of the sidecars that it wrote. */
function recorded(id: string): ControllerDatabase {
  const sidecars = readdirSync(BUCKET_DIR)
    .filter((name) => name.endsWith('.metadata'))
    .map((name) => JSON.parse(quote(readFileSync(path.join(BUCKET_DIR, name), 'utf8'))) as Record<string, unknown>)
    .filter(({ databaseId, backupType, walFilename }) => databaseId === id && Boolean(backupType ?? walFilename));
  const major = id === P17 ? '17' : '18';
  const base = sidecars.find(({ backupType }) => backupType === 'FULL');
  return {
    id,
    name: `Cluster PITR ${major}`,
    version: major,
    systemIdentifier: String(base?.['systemIdentifier']),
    rows: sidecars.map(rowOf).sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1)),
    config: {
      databaseId: id,
      isBackupsEnabled: true,
      retention: 'CHAINS',
      storage: { id: randomUUID() },
      unknownToUs: 7,
    },
    stream: () => createReadStream(path.join(DATABASUS_DIR, 'api', `restore-stream-p${major}.tar`)),
  };
}

function quote(text: string): string {
  return text.replace(/("systemIdentifier"\s*:\s*)(\d+)/g, '$1"$2"');
}

function rowOf(sidecar: Record<string, unknown>): ControllerRow {
  const text = (name: string): string => String(sidecar[name]);
  const micros = (name: string): string => text(name).replace(/(\.\d{6})\d*Z$/, '$1Z');
  const common = {
    status: 'COMPLETED' as const,
    timelineId: Number(sidecar['timelineId']),
    startLsn: text('startLsn'),
    sizeMb: Number(sidecar['compressedSizeBytes']) / 1024 / 1024,
  };
  if (sidecar['walFilename'] !== undefined) {
    const [id, stopLsn, walFilename] = [text('walSegmentId'), text('endLsn'), text('walFilename')];
    return { ...common, id, type: 'WAL', stopLsn, walFilename, createdAt: micros('receivedAt') };
  }
  const root = sidecar['rootFullBackupId'];
  return {
    ...common,
    id: text('backupId'),
    type: sidecar['backupType'] === 'FULL' ? 'FULL' : 'INCREMENTAL',
    stopLsn: text('stopLsn'),
    ...(typeof root === 'string' ? { rootFullBackupId: root } : {}),
    createdAt: micros('createdAt'),
    completedAt: micros('completedAt'),
  };
}

type Answer = { status: number; body?: unknown };

const NOT_ALLOWED: Answer = {
  status: 400,
  body: { error: 'insufficient permissions to manage backups for this database' },
};

async function handle(state: State, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const method = request.method ?? 'GET';
  state.requests.push(`${method} ${url.pathname}`);
  const forced = state.faults.statuses.shift() ?? null;
  if (forced !== null) {
    send(response, { status: forced, body: forced >= 500 ? undefined : { error: 'forced by the test' } });
    return;
  }
  const at = `${method} ${url.pathname.replace('/api/v1', '')}`;
  if (at === 'GET /backups/physical/restore-stream') {
    await stream(state, url, response);
    return;
  }
  if (/^GET \/backups\/[^/]+\/file$/.test(at)) {
    dump(state, url, response);
    return;
  }
  const answer = await answerTo(state, at, url, request);
  if (answer === null) {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<html>spa</html>\n');
    return;
  }
  send(response, answer);
}

function send(response: ServerResponse, { status, body }: Answer): void {
  if (body === undefined) {
    response.writeHead(status).end();
    return;
  }
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(body));
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return JSON.parse(Buffer.concat(pieces).toString() || '{}') as Record<string, unknown>;
}

/** Null for a path that there is not: the web page. */
async function answerTo(state: State, at: string, url: URL, request: IncomingMessage): Promise<Answer | null> {
  if (at === 'POST /users/signin') return signIn(state, await bodyOf(request));
  const bearer = (request.headers.authorization ?? '').replace(/^Bearer /, '');
  if (bearer === '') return { status: 401, body: { error: 'Authorization token required' } };
  if (!state.jwts.has(bearer)) return { status: 401, body: { error: 'Invalid token' } };
  return (await general(state, at, url, request)) ?? ofDatabase(state, at, url, request);
}

async function general(state: State, at: string, url: URL, request: IncomingMessage): Promise<Answer | null> {
  switch (at) {
    case 'GET /system/version':
      return { status: 200, body: { version: 'v3.49.0' } };
    case 'GET /workspaces':
      return { status: 200, body: { workspaces: [{ id: WORKSPACE, name: 'prod', userRole: state.role }] } };
    case 'GET /databases':
      return databases(state, url);
    case 'GET /backups':
      return { status: 200, body: logicalBackups() };
    case `POST /backups/${LOGICAL_BACKUP}/download-token`:
      return { status: 200, body: { token: newToken(state, LOGICAL), filename: 'app.dump', backupId: LOGICAL_BACKUP } };
    case 'POST /backup-configs/physical/save':
      return isReader(state, request) ? NOT_ALLOWED : save(state, await bodyOf(request));
    default:
      return null;
  }
}

async function ofDatabase(state: State, at: string, url: URL, request: IncomingMessage): Promise<Answer | null> {
  const [, id = '', what = ''] =
    /^(?:GET|POST) \/(?:backups|backup-configs)\/physical\/database\/([^/]+)(?:\/([a-z-]+))?$/.exec(at) ?? [];
  if (id === '') return null;
  const database = state.databases.get(id);
  if (database === undefined) return { status: 400, body: { error: 'record not found' } };
  switch (what) {
    case '':
      return { status: 200, body: database.config };
    case 'backups':
      await state.beforeList();
      return backups(database, url);
    case 'restore-token':
      return restoreToken(state, database, await bodyOf(request));
    case 'trigger':
      return isReader(state, request) ? NOT_ALLOWED : trigger(state, database, await bodyOf(request));
    default:
      return null;
  }
}

function signIn(state: State, { email, password }: Record<string, unknown>): Answer {
  if (email === 'admin') return { status: 500 };
  if (email !== state.email && email !== OPERATOR)
    return { status: 400, body: { error: 'user with this email does not exist' } };
  if (password !== state.password) return { status: 400, body: { error: 'password is incorrect' } };
  const token = randomUUID();
  state.jwts.set(token, email);
  return { status: 200, body: { userId: randomUUID(), email, token } };
}

function databases(state: State, url: URL): Answer {
  if (url.searchParams.get('workspace_id') !== WORKSPACE) return { status: 400, body: { error: 'workspace_id' } };
  const rows = [...state.databases.values()].map(({ id, name, version, systemIdentifier }) => ({
    id,
    workspaceId: WORKSPACE,
    name,
    type: 'POSTGRES_PHYSICAL',
    postgresqlPhysical: {
      version,
      backupType: 'FULL_INCREMENTAL_WAL_STREAM',
      host: '127.0.0.1',
      port: 5432,
      systemIdentifier,
      walSegmentSizeBytes: 16_777_216,
    },
  }));
  const logical = { id: LOGICAL, workspaceId: WORKSPACE, name: 'app logical', type: 'POSTGRES_LOGICAL' };
  return { status: 200, body: [...rows, logical] };
}

function backups({ rows }: ControllerDatabase, url: URL): Answer {
  const type = url.searchParams.get('type');
  const limit = Math.min(Number(url.searchParams.get('limit') ?? '50'), 1000);
  const offset = Number(url.searchParams.get('offset') ?? '0');
  const all = rows.filter((row) => type === null || row.type === type);
  return {
    status: 200,
    body: { backups: all.slice(offset, offset + limit), totalUsageMb: 1, total: all.length, limit, offset },
  };
}

function logicalBackups(): unknown {
  const text = readFileSync(path.join(DATABASUS_DIR, 'expected.json'), 'utf8');
  const { logical } = JSON.parse(text) as { logical: { backup: unknown } };
  return { backups: [logical.backup], total: 1, limit: 1000, offset: 0 };
}

function save(state: State, config: Record<string, unknown>): Answer {
  const database = state.databases.get(String(config['databaseId']));
  if (database === undefined) return { status: 400, body: { error: 'record not found' } };
  database.config = config as ControllerDatabase['config'];
  return { status: 200, body: config };
}

function isReader(state: State, request: IncomingMessage): boolean {
  const bearer = (request.headers.authorization ?? '').replace(/^Bearer /, '');
  return state.jwts.get(bearer) !== OPERATOR && state.role === 'WORKSPACE_VIEWER';
}

function trigger(state: State, database: ControllerDatabase, { type }: Record<string, unknown>): Answer {
  state.onTrigger(database, String(type));
  return { status: 202, body: { message: 'backup requested' } };
}

/** The controller's own resolver: it compares the target with the times at which segments were received. */
function restoreToken(state: State, { id, rows }: ControllerDatabase, { targetTime }: Record<string, unknown>): Answer {
  if (Date.now() < state.lockedUntil) {
    return { status: 409, body: { error: 'download already in progress for this user' } };
  }
  const target = typeof targetTime === 'string' ? Date.parse(targetTime) : null;
  const done = rows.filter(({ type, status }) => type !== 'WAL' && status === 'COMPLETED');
  const bases = done.filter(({ completedAt }) => target === null || Date.parse(completedAt ?? '') <= target);
  bases.sort((a, b) => ((a.completedAt ?? '') < (b.completedAt ?? '') ? 1 : -1));
  const [base] = bases;
  if (done.length === 0) return refused(404, 'no completed full backup to restore from');
  if (base === undefined) return refused(422, 'target time precedes the earliest full backup');
  const { end, receivedAt } = unbrokenRun(rows, base);
  if (target !== null && Math.max(receivedAt, Date.parse(base.completedAt ?? '') + 1) < target) {
    return refused(422, `wal gap before target; latest restorable point is ${end}`);
  }
  const token = newToken(state, id);
  return { status: 200, body: { token, url: `/api/v1/backups/physical/restore-stream?token=${token}` } };
}

function refused(status: number, text: string): Answer {
  return { status, body: { error: `chain_view: ${text}` } };
}

function unbrokenRun(rows: readonly ControllerRow[], base: ControllerRow): { end: string; receivedAt: number } {
  const run = { end: base.stopLsn, receivedAt: 0 };
  const wal = rows.filter(({ type }) => type === 'WAL').sort((a, b) => position(a.startLsn) - position(b.startLsn));
  for (const { startLsn, stopLsn, createdAt } of wal) {
    if (position(startLsn) > position(run.end)) break;
    if (position(stopLsn) > position(run.end)) run.end = stopLsn;
    run.receivedAt = Math.max(run.receivedAt, Date.parse(createdAt));
  }
  return run;
}

function newToken(state: State, id: string): string {
  const token = `${randomBytes(31).toString('base64url')}=`;
  state.tokens.set(token, id);
  return token;
}

function position(lsn: string): number {
  const [high = '0', low = '0'] = lsn.split('/');
  return Number.parseInt(high, 16) * 2 ** 32 + Number.parseInt(low, 16);
}

async function stream(state: State, url: URL, response: ServerResponse): Promise<void> {
  const token = url.searchParams.get('token') ?? '';
  const database = state.databases.get(state.tokens.get(token) ?? '');
  state.tokens.delete(token);
  if (database === undefined) {
    send(response, { status: 401, body: { error: 'invalid or expired restore token' } });
    return;
  }
  if (Date.now() < state.lockedUntil) {
    send(response, { status: 409, body: { error: 'a download or restore is already in progress for this user' } });
    return;
  }
  state.begun += 1;
  state.open.add(response);
  const beat = setInterval(() => {
    state.lockedUntil = Date.now() + LOCK_MS;
  }, LOCK_MS / 4);
  state.lockedUntil = Date.now() + LOCK_MS;
  response.once('close', () => {
    clearInterval(beat);
    state.open.delete(response);
    // A broken connection is noticed by the end of the lock, a good end gives it back.
    if (response.writableFinished) state.lockedUntil = 0;
  });
  if (state.faults.hang) return;
  response.writeHead(200, { 'content-type': 'application/x-tar' });
  await sendStream(state, database, response);
}

async function sendStream({ faults }: State, { stream }: ControllerDatabase, response: ServerResponse): Promise<void> {
  const [cutAt = null, breakAt = null] = [faults.cutAt.shift(), faults.breakAt.shift()];
  const limit = cutAt ?? breakAt ?? Number.POSITIVE_INFINITY;
  let sent = 0;
  for await (const piece of stream()) {
    const part = piece.subarray(0, Math.min(piece.length, limit - sent));
    sent += part.length;
    if (!response.write(part)) await drained(response);
    if (response.destroyed) return;
    if (sent < limit) continue;
    if (cutAt === null) {
      await sleep(20); // what was written goes out first
      response.destroy();
      return;
    }
    break;
  }
  response.end();
}

/** Until it takes more, or is gone. */
function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}

function dump(state: State, url: URL, response: ServerResponse): void {
  const token = url.searchParams.get('token') ?? '';
  const isKnown = state.tokens.delete(token);
  if (!isKnown) {
    send(response, { status: 401, body: { error: 'invalid or expired download token' } });
    return;
  }
  const content = readFileSync(path.join(DATABASUS_DIR, 'api', 'logical.dump'));
  response
    .writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': content.length })
    .end(content);
}
