/** Requests to a controller: what its answers mean, what is tried again, and that no secret gets into a message. */
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { askRestoreToken, listBackups, triggerBackup } from '../../../activities/backup-store/databasus-api/api.js';
import { chooseDatabase } from '../../../activities/backup-store/databasus-api/choose-database.js';
import { createHttp } from '../../../activities/backup-store/databasus-api/http.js';
import { createSession, type Session } from '../../../activities/backup-store/databasus-api/session.js';
import { P17, P18, startController, type Controller } from '../../support/databasus-controller.js';
import { describeWithBucket } from '../../support/databasus.js';

const QUICK = { totalMs: 300, firstPauseMs: 5, longestPauseMs: 20 };
const NO_CHOICE = { workspace: null, database: null, systemIdentifier: null };

let controller: Controller;
const servers: Server[] = [];

beforeEach(async () => {
  controller = await startController();
});
afterEach(async () => {
  await controller.stop();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

function session(change: Partial<{ email: string; password: string; url: string }> = {}): Session {
  const { email, password, url } = { ...controller, ...change };
  return createSession(createHttp(url), { email, password }, QUICK);
}

async function serverWith(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

describeWithBucket('a session with a controller', () => {
  test('signs in once for many requests', async () => {
    const one = session();
    await chooseDatabase(one, { ...NO_CHOICE, database: P17 });
    await listBackups(one, P17);
    expect(controller.requests.filter((line) => line.endsWith('/users/signin'))).toHaveLength(1);
  });

  test('a token that is refused is asked for again', async () => {
    const one = session();
    await listBackups(one, P17);
    controller.faults.statuses = [401];
    await listBackups(one, P17);
    expect(controller.requests.filter((line) => line.endsWith('/users/signin'))).toHaveLength(2);
  });

  test('a wrong password, although its status is 400, is refused credentials; it is in no message', async () => {
    const wrong = session({ password: 'hunter2-hunter2' });
    const failure = await listBackups(wrong, P17).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      type: 'CredentialsRefused',
      message: expect.stringContaining('is incorrect') as string,
    });
    expect(JSON.stringify(failure)).not.toContain('hunter2');
  });

  test('status 500 with an empty body is a user without a password', async () => {
    await expect(listBackups(session({ email: 'admin' }), P17)).rejects.toMatchObject({
      type: 'CredentialsRefused',
      message: expect.stringContaining('has no password for user admin') as string,
    });
  });

  test('too many sign-ins and errors of a proxy are waited for, and then said', async () => {
    controller.faults.statuses = [429, 502];
    await expect(listBackups(session(), P17)).resolves.toHaveLength(6);
    controller.faults.statuses = Array<number>(100).fill(429);
    await expect(listBackups(session(), P17)).rejects.toMatchObject({ type: 'StoreUnavailable' });
  });

  test('a web page with status 200 is a wrong path, not an answer', async () => {
    const url = await serverWith((_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>spa</html>');
    });
    await expect(listBackups(session({ url }), P17)).rejects.toMatchObject({
      type: 'ConfigInvalid',
      message: expect.stringContaining('a web page instead of json') as string,
    });
  });

  test('a redirect is named instead of followed', async () => {
    const url = await serverWith((_, response) => {
      response.writeHead(301, { location: 'https://elsewhere.example/api' }).end();
    });
    const failure: unknown = await listBackups(session({ url }), P17).catch((error: unknown) => error);
    expect(failure).toMatchObject({ type: 'ConfigInvalid' });
    expect(JSON.stringify(failure)).toContain('https://elsewhere.example/api');
  });

  test('a controller that is not there does not answer; a path or /api/v1 in the url does not matter', async () => {
    await expect(listBackups(session({ url: `${controller.url}/api/v1/` }), P17)).resolves.toHaveLength(6);
    await controller.stop();
    await expect(listBackups(session(), P17)).rejects.toMatchObject({
      type: 'StoreUnavailable',
      message: expect.stringMatching(/does not answer .*ECONNREFUSED/) as string,
    });
  });

  test('an answer that does not come, and a download whose first byte does not, are given up', async () => {
    const url = await serverWith(() => undefined);
    const http = createHttp(url, { answerMs: 50, beginMs: 50, idleMs: 50 });
    await expect(http.ask({ method: 'GET', path: '/workspaces' })).rejects.toMatchObject({ type: 'StoreUnavailable' });
    await expect(http.download('/backups/physical/restore-stream?token=secret-token')).rejects.toMatchObject({
      type: 'StoreUnavailable',
      message: expect.not.stringContaining('secret-token') as string,
    });
  });

  test('a download in which nothing comes any more is given up', async () => {
    const url = await serverWith((_, response) => {
      response.writeHead(200, { 'content-type': 'application/x-tar' }).write('some bytes');
    });
    const { content } = await createHttp(url, { answerMs: 50, beginMs: 1_000, idleMs: 80 }).download('/x?token=t');
    const read = async (): Promise<void> => {
      for await (const piece of content ?? []) expect(piece.toString()).toBe('some bytes');
    };
    await expect(read()).rejects.toMatchObject({ type: 'StoreUnavailable' });
  });

  test('lists longer than a page are read to their end, each row once', async () => {
    const database = controller.databases.get(P17)!;
    const [row] = database.rows;
    database.rows = Array.from({ length: 2_500 }, (_, at) => ({ ...row!, id: `row-${String(at)}` }));
    await expect(listBackups(session(), P17)).resolves.toHaveLength(2_500);
  });
});

describeWithBucket('the database of an environment in a controller', () => {
  test('is chosen by id, name or system identifier', async () => {
    const one = session();
    const byName = await chooseDatabase(one, { ...NO_CHOICE, workspace: 'prod', database: 'Cluster PITR 18' });
    expect(byName).toMatchObject({ id: P18, postgresMajor: 18, systemIdentifier: '7710462970925164156' });
    const bySystem = await chooseDatabase(one, { ...NO_CHOICE, systemIdentifier: '7710462960820123050' });
    expect(bySystem.id).toBe(P17);
  });

  test.each([
    ['several fit', NO_CHOICE, 'ConfigInvalid', /2 databases that fit: .*Cluster PITR 17/],
    ['none has the name', { ...NO_CHOICE, database: 'other' }, 'NotFound', /no physical database "other"/],
    ['it is another system', { ...NO_CHOICE, database: P17, systemIdentifier: '7' }, 'IdentityMismatch', /system 7/],
    ['the workspace is not seen', { ...NO_CHOICE, workspace: 'dev' }, 'NotFound', /no workspace "dev".*it sees prod/],
  ])('is refused with what there is when %s', async (_, choice, type, text) => {
    await expect(chooseDatabase(session(), choice)).rejects.toMatchObject({
      type,
      message: expect.stringMatching(text) as string,
    });
  });

  test('what a reader may not do is not allowed, and what there is not is not found', async () => {
    await expect(triggerBackup(session(), P17, 'full')).rejects.toMatchObject({ type: 'NotAllowed' });
    await expect(listBackups(session(), '00000000-0000-0000-0000-000000000001')).rejects.toMatchObject({
      type: 'NotFound',
    });
  });

  test('a restore token tells apart a target out of reach and another download', async () => {
    const one = session();
    const open = await askRestoreToken(one, P17, '2099-01-01T00:00:00Z');
    expect(open).toMatchObject({ outcome: 'not-restorable', why: expect.stringContaining('0/8000000') as string });
    const good = await askRestoreToken(one, P17, null);
    expect(good).toMatchObject({ outcome: 'token', path: expect.stringMatching(/token=[\w-]+%3D$/) as string });
    if (good.outcome !== 'token') return;
    const { content } = await one.download(good.path);
    const pieces = content![Symbol.asyncIterator]();
    await pieces.next();
    expect(await askRestoreToken(one, P17, null)).toMatchObject({ outcome: 'busy' });
    await pieces.return?.();
    expect((await one.download(good.path)).status).toBe(401);
  });
});
