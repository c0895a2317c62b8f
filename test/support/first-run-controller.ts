/**
 * Stands in for the first life of a Databasus controller (v3.49): registration, workspaces, storages, databases and their settings, as recorded. Its
 * metadata are in its data directory, so it can be killed and started again; without a `secret.key` there it makes its own, as the real one does.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import path from 'node:path';

type Row = Record<string, unknown> & { id: string };

type State = {
  adminPassword: string | null;
  users: Record<string, string>;
  tokens: Record<string, string>;
  workspaces: { id: string; name: string; members: Record<string, string> }[];
  storages: Row[];
  databases: Row[];
  configs: Record<string, Row>;
  requests: string[];
};

export type FirstRun = { server: Server; state: State };

/** What the controller finds out about every server but the one called `other`. */
export const SYSTEM = '7710456222278210864';
/** Buckets, hosts and the code that a connection test answers with. */
export const REFUSED_BUCKET = 'refused';
export const HOST_WITHOUT_SUMMARY = 'without-summary';
export const OTHER_HOST = 'other';

type Answer = { status: number; body?: unknown };

/** Serves on a port of the loopback. */
export async function startFirstRun(dataDir: string, port: number): Promise<FirstRun> {
  const key = path.join(dataDir, 'secret.key');
  if (!existsSync(key)) writeFileSync(key, randomUUID() + randomUUID(), { mode: 0o600 });
  const state = readState(dataDir);
  const server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      const url = new URL(request.url ?? '/', 'http://localhost');
      const at = `${request.method ?? 'GET'} ${url.pathname.replace('/api/v1', '')}`;
      state.requests.push(at);
      const answer = answerTo(state, at, url, body, request.headers.authorization ?? '');
      writeState(dataDir, state);
      if (answer === null) {
        response.writeHead(200, { 'content-type': 'text/html' }).end('<html>spa</html>');
        return;
      }
      response.writeHead(answer.status, { 'content-type': 'application/json; charset=utf-8' });
      response.end(answer.body === undefined ? '' : JSON.stringify(answer.body));
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return { server, state };
}

/** What it has written down. */
export function readState(dataDir: string): State {
  const file = path.join(dataDir, 'metadata.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as State;
  return {
    ...{ adminPassword: null, users: {}, tokens: {}, workspaces: [], storages: [], databases: [], configs: {} },
    requests: [],
  };
}

function writeState(dataDir: string, state: State): void {
  const file = path.join(dataDir, 'metadata.json');
  writeFileSync(`${file}.new`, JSON.stringify(state));
  renameSync(`${file}.new`, file);
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return JSON.parse(Buffer.concat(pieces).toString() || '{}') as Record<string, unknown>;
}

const error = (status: number, text: string): Answer => ({ status, body: { error: text } });
const ok = (body: unknown, status = 200): Answer => ({ status, body });

function answerTo(
  state: State,
  at: string,
  url: URL,
  body: Record<string, unknown>,
  authorization: string,
): Answer | null {
  const open = withoutUser(state, at, body);
  if (open !== undefined) return open;
  const user = state.tokens[authorization.replace(/^Bearer /, '')];
  if (user === undefined) return error(401, authorization === '' ? 'Authorization token required' : 'Invalid token');
  return ofUser(state, at, url, body, user);
}

function withoutUser(state: State, at: string, body: Record<string, unknown>): Answer | undefined {
  const [email, password] = [String(body['email']), String(body['password'])];
  switch (at) {
    case 'GET /system/health':
      return ok({ status: 'Application is healthy' });
    case 'GET /users/admin/has-password':
      return ok({ hasPassword: state.adminPassword !== null });
    case 'POST /users/admin/set-password':
      if (state.adminPassword !== null) return error(400, 'admin password is already set');
      state.adminPassword = password;
      return ok({ message: 'Admin password set successfully' });
    case 'POST /users/signup':
      if (state.users[email] !== undefined) return error(400, 'user with this email already exists');
      state.users[email] = password;
      return ok({ userId: randomUUID(), email, token: 'x' });
    case 'POST /users/signin':
      return signIn(state, email, password);
    default:
      return undefined;
  }
}

function signIn(state: State, email: string, password: string): Answer {
  if (email === 'admin' && state.adminPassword === null) return { status: 500 };
  const known = email === 'admin' ? state.adminPassword : state.users[email];
  if (known === undefined || known === null) return error(400, 'user with this email does not exist');
  if (known !== password) return error(400, 'password is incorrect');
  const token = randomUUID();
  state.tokens[token] = email;
  return ok({ userId: randomUUID(), email, token });
}

function ofUser(state: State, at: string, url: URL, body: Record<string, unknown>, user: string): Answer | null {
  const [, memberOf] = /^POST \/workspaces\/memberships\/([^/]+)\/members$/.exec(at) ?? [];
  const [, configOf] = /^GET \/backup-configs\/physical\/database\/([^/]+)$/.exec(at) ?? [];
  if (memberOf !== undefined) return addMember(state, memberOf, body);
  if (configOf !== undefined) return ok(state.configs[configOf]);
  return at.startsWith('GET ') ? listed(state, at, url, user) : made(state, at, body, user);
}

function addMember(state: State, workspaceId: string, body: Record<string, unknown>): Answer {
  const found = state.workspaces.find(({ id }) => id === workspaceId);
  if (found === undefined) return error(400, 'record not found');
  found.members[String(body['email'])] = String(body['role']);
  return ok({ status: 'ADDED' });
}

function listed(state: State, at: string, url: URL, user: string): Answer | null {
  const workspace = url.searchParams.get('workspace_id');
  const inWorkspace = (rows: readonly Row[]): Row[] => rows.filter(({ workspaceId }) => workspaceId === workspace);
  switch (at) {
    case 'GET /workspaces':
      return ok({ workspaces: state.workspaces.filter(({ members }) => user === 'admin' || user in members) });
    case 'GET /storages':
      return ok(inWorkspace(state.storages).map((row) => ({ ...row, s3Storage: withoutKeys(row['s3Storage']) })));
    case 'GET /databases':
      return ok(inWorkspace(state.databases));
    default:
      return null;
  }
}

function made(state: State, at: string, body: Record<string, unknown>, user: string): Answer | null {
  switch (at) {
    case 'POST /workspaces': {
      const workspace = { id: randomUUID(), name: String(body['name']), members: { [user]: 'WORKSPACE_OWNER' } };
      state.workspaces.push(workspace);
      return ok(workspace);
    }
    case 'POST /storages/direct-test':
    case 'POST /storages':
      return storage(state, at, body);
    case 'POST /databases/test-connection-direct':
    case 'POST /databases/create':
      return database(state, at, body);
    case 'POST /backup-configs/physical/save':
      state.configs[String(body['databaseId'])] = body as Row;
      return ok(body);
    default:
      return null;
  }
}

function withoutKeys(s3Storage: unknown): unknown {
  return { ...(s3Storage as object), s3AccessKey: '', s3SecretKey: '' };
}

function storage(state: State, at: string, body: Record<string, unknown>): Answer {
  const s3 = body['s3Storage'] as { s3Bucket: string; s3SecretKey: string };
  if (s3.s3Bucket === REFUSED_BUCKET) return error(400, `access denied for key ${s3.s3SecretKey}`);
  if (at.endsWith('direct-test')) return ok({ message: 'storage connection test successful' });
  const row = { ...body, id: randomUUID() };
  state.storages.push(row);
  return ok(row);
}

function database(state: State, at: string, body: Record<string, unknown>): Answer {
  const physical = body['postgresqlPhysical'] as { host: string };
  const isTest = at.endsWith('test-connection-direct');
  if (physical.host === HOST_WITHOUT_SUMMARY)
    return isTest ? { status: 400, body: { code: 'wal_summary_disabled' } } : error(400, 'wal_summary_disabled');
  if (isTest) return ok({ message: 'connection successful' });
  const id = randomUUID();
  const found = {
    systemIdentifier: physical.host === OTHER_HOST ? '7000000000000000001' : SYSTEM,
    version: '18',
    walSegmentSizeBytes: 16_777_216,
    password: '',
  };
  state.databases.push({ ...body, id, postgresqlPhysical: { ...physical, ...found } });
  state.configs[id] = {
    ...{ id, databaseId: id, isBackupsEnabled: false, fullBackupInterval: { type: 'DAILY', timeOfDay: '04:00' } },
    ...{ incrementalBackupInterval: { type: '', timeOfDay: null }, retention: 'FULL_BACKUPS', storage: null },
    ...{ chainsRetention: { count: 0 }, walLagThresholdBytes: 0, encryption: 'NONE', sendNotificationsOn: [] },
  };
  return ok({ ...body, id }, 201);
}
