/** A controller as a store: pausing and resuming, bases that it takes, what pgr check says, dumps. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { spaceFailure } from '../../../activities/backup-store/databasus-api/fetch.js';
import { createHttp } from '../../../activities/backup-store/databasus-api/http.js';
import { downloadDump, listDumps } from '../../../activities/backup-store/databasus-api/logical-backups.js';
import { createSession, type Session } from '../../../activities/backup-store/databasus-api/session.js';
import { createControllerStore, createStoreOver } from '../../../activities/backup-store/databasus-api/store.js';
import { takeBaseOfController } from '../../../activities/backup-store/databasus-api/take-base.js';
import type { BackupStore } from '../../../activities/lib/backup-store.js';
import {
  LOGICAL,
  LOGICAL_BACKUP,
  OPERATOR,
  P17,
  startController,
  type Controller,
  type ControllerRow,
} from '../../support/databasus-controller.js';
import { DATABASUS_DIR, describeWithBucket } from '../../support/databasus.js';

const QUICK = { totalMs: 300, firstPauseMs: 5, longestPauseMs: 20 };
const PASSWORD = 'a long password of a test';
const CHOICE = { workspace: null, database: P17, systemIdentifier: null };

let controller: Controller;
let stateDir: string;

beforeEach(async () => {
  controller = await startController();
  stateDir = await mkdtemp(path.join(tmpdir(), 'pgr-controller-'));
});
afterEach(async () => {
  await controller.stop();
  await rm(stateDir, { recursive: true, force: true });
});

function session(): Session {
  const { email } = controller;
  return createSession(createHttp(controller.url), { email, password: PASSWORD }, QUICK);
}

function store(now = '2026-11-21T03:40:00Z'): BackupStore {
  return createStoreOver({
    session: session(),
    operator: session(),
    choice: CHOICE,
    limits: { baseSeconds: 600, walSeconds: 600 },
    memory: { stateDir, environment: 'shop' },
    fetchCommand: (spec) => ['fetch', spec],
    takeBaseCommand: (spec) => ['take', spec],
    now: () => new Date(now),
  });
}

const rows = (): ControllerRow[] => controller.databases.get(P17)!.rows;
const isOn = (): boolean => controller.databases.get(P17)!.config.isBackupsEnabled;
const saves = (): number => controller.requests.filter((line) => line.endsWith('/save')).length;

async function findings(now?: string): Promise<Record<string, string>> {
  const lines = await store(now).check();
  return Object.fromEntries(lines.filter(({ ok }) => !ok).map(({ check, actual }) => [check, actual]));
}

describeWithBucket('pausing backups of a controller', () => {
  beforeEach(() => {
    controller.role = 'WORKSPACE_MEMBER';
  });

  test('switches them off, keeps everything else of the configuration, and says that the slot stays', async () => {
    const before = { ...controller.databases.get(P17)!.config };
    const paused = await store().pause('shop/change');
    expect(paused).toMatchObject({ outcome: 'paused', note: expect.stringContaining('slot stays') as string });
    expect(controller.databases.get(P17)!.config).toEqual({ ...before, isBackupsEnabled: false });
    expect(await store().resume('shop/change')).toMatchObject({ outcome: 'resumed' });
    expect(controller.databases.get(P17)!.config).toEqual(before);
  });

  test('done twice by one run it changes nothing more, and one resume ends it', async () => {
    await store().pause('shop/change');
    expect(await store().pause('shop/change')).toMatchObject({
      outcome: 'paused',
      note: expect.stringContaining('already') as string,
    });
    expect(saves()).toBe(1);
    await store().resume('shop/change');
    expect(await store().resume('shop/change')).toMatchObject({ outcome: 'nothing-to-do' });
    expect([saves(), isOn()]).toEqual([2, true]);
  });

  test('backups that were off before the run stay off', async () => {
    controller.databases.get(P17)!.config.isBackupsEnabled = false;
    expect(await store().pause('shop/change')).toMatchObject({ outcome: 'nothing-to-do' });
    expect(await store().resume('shop/change')).toMatchObject({ outcome: 'nothing-to-do' });
    expect([saves(), isOn()]).toEqual([0, false]);
  });

  test('a pause whose reply was lost is undone by its run', async () => {
    controller.databases.get(P17)!.config.isBackupsEnabled = true;
    await store().pause('shop/change');
    // Another process of the same worker: only the note tells it what was before.
    expect(await store().resume('shop/change')).toMatchObject({ outcome: 'resumed' });
    expect(isOn()).toBe(true);
  });

  test('is done by the operator of the config, while the user who restores may not', async () => {
    controller.role = 'WORKSPACE_VIEWER';
    const password = 'env:PGR_TEST_CONTROLLER_PASSWORD';
    const config = {
      kind: 'databasus' as const,
      url: controller.url,
      email: controller.email,
      password,
      operator: { email: OPERATOR, password },
      database: P17,
      maxBaseAge: 600,
      maxWalAge: 600,
    };
    const program = { node: 'node', distDir: '/dist', configPath: '/recovery.yaml' };
    const resolveSecret = () => Promise.resolve(PASSWORD);
    const one = await createControllerStore({ config, environment: 'shop', resolveSecret, program, stateDir });
    expect(await one.pause('shop/change')).toMatchObject({ outcome: 'paused' });
    expect(isOn()).toBe(false);
    expect((await one.check()).find(({ check }) => check === 'user-role')).toMatchObject({ ok: true });
    expect(one.fetchCommand('/spec.json')).toEqual([
      expect.stringContaining('fetch-databasus-api') as string,
      '--config',
      '/recovery.yaml',
      '--environment',
      'shop',
      '/spec.json',
    ]);
  });

  test('a reader is told that it may not', async () => {
    controller.role = 'WORKSPACE_VIEWER';
    await expect(store().pause('shop/change')).rejects.toMatchObject({ type: 'NotAllowed' });
    expect(isOn()).toBe(true);
  });
});

describeWithBucket('a base that the controller takes', () => {
  const options = {
    id: '20261121-040000F',
    kind: 'full' as const,
    binDir: '/none',
    connection: { host: 'none', port: 1, user: 'none', password: null },
  };
  const row: ControllerRow = {
    id: 'new-full',
    type: 'FULL',
    status: 'IN_PROGRESS',
    timelineId: 2,
    startLsn: '',
    stopLsn: '',
    sizeMb: 0,
    createdAt: '2026-11-21T04:00:05.000000Z',
  };
  const done = { status: 'COMPLETED' as const, startLsn: '0/9000028', stopLsn: '0/9000158', sizeMb: 4 };
  const take = () => {
    const reporter = { progress: () => undefined, mark: () => undefined, result: () => undefined };
    return takeBaseOfController(options, {
      session: session(),
      choice: CHOICE,
      reporter,
      times: { lookMs: 10, beginMs: 300 },
    });
  };
  const triggers = (): number => controller.requests.filter((line) => line.endsWith('/trigger')).length;

  beforeEach(() => {
    controller.role = 'WORKSPACE_MEMBER';
  });

  test('is asked for, waited for, and is the one on the new timeline', async () => {
    controller.onTrigger = (database) => {
      const begun = { ...row };
      database.rows.unshift(begun);
      setTimeout(() => Object.assign(begun, done), 100);
    };
    expect(await take()).toMatchObject({ id: 'new-full', timeline: 2, stopLsn: '0/9000158', bytes: 4 * 1024 * 1024 });
  });

  test('is found again by a retry instead of being taken twice', async () => {
    rows().unshift({ ...row, ...done });
    expect(await take()).toMatchObject({ id: 'new-full' });
    expect(triggers()).toBe(0);
  });

  test('fails with the words of the controller', async () => {
    controller.onTrigger = (database) => {
      database.rows.unshift({ ...row, status: 'ERROR', failMessage: 'pg_basebackup: error: no replication slots' });
    };
    await expect(take()).rejects.toMatchObject({
      type: 'CommandFailed',
      message: expect.stringContaining('no replication slots') as string,
    });
  });

  test('that does not begin is an end, not a wait for ever: the controller says yes to everything', async () => {
    await expect(take()).rejects.toMatchObject({
      type: 'PreconditionFailed',
      message: expect.stringContaining('began none') as string,
    });
  });

  test('is not asked for while backups are off', async () => {
    controller.databases.get(P17)!.config.isBackupsEnabled = false;
    await expect(take()).rejects.toMatchObject({ type: 'PreconditionFailed' });
    expect(triggers()).toBe(0);
  });
});

describeWithBucket('what pgr check says about a controller', () => {
  test('a fresh one with a reader is good', async () => {
    expect(await findings()).toEqual({});
  });

  test('a controller that is not reached, or a wrong password, is one line', async () => {
    controller.password = 'another';
    expect(await findings()).toEqual({ 'sign-in': expect.stringContaining('password is incorrect') as string });
  });

  test('a user who could delete backups, backups that are off, and old ones', async () => {
    controller.role = 'WORKSPACE_OWNER';
    controller.databases.get(P17)!.config.isBackupsEnabled = false;
    expect(await findings('2026-11-22T00:00:00Z')).toEqual({
      'user-role': expect.stringContaining('can delete') as string,
      'backups-on': expect.stringContaining('slot keeps wal') as string,
      'full-fresh': expect.stringContaining('s old') as string,
      'base-fresh': expect.stringContaining('s old') as string,
      'wal-fresh': expect.stringContaining('s old') as string,
    });
  });

  test('a chain that broke after its newest base', async () => {
    rows().unshift({
      ...rows()[0]!,
      id: 'broken',
      type: 'INCREMENTAL',
      status: 'CHAIN_BROKEN',
      failMessage: 'wal summaries are missing',
      createdAt: '2026-11-21T03:39:00Z',
    });
    expect(await findings()).toEqual({ chain: expect.stringContaining('wal summaries are missing') as string });
  });

  test('wal that is missing behind the newest base, and a parent that is gone', async () => {
    controller.databases.get(P17)!.rows = rows().filter(({ walFilename }) => !walFilename?.endsWith('6'));
    expect((await findings())['chain']).toContain('000000010000000000000006 is missing');
    controller.databases.get(P17)!.rows = rows().filter(({ type }) => type !== 'FULL');
    expect((await findings())['chain']).toMatch(/needs base .* which is missing/);
  });
});

describe('a full disk', () => {
  test('is missing space, not a bug: the plan could only estimate it', () => {
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    expect(spaceFailure(full, '/srv/sandboxes/1')).toMatchObject({ type: 'SpaceMissing' });
    expect(spaceFailure(new Error('other'), '/srv/sandboxes/1')).toBeNull();
  });
});

describeWithBucket('wal files in a controller', () => {
  test('a segment is there or missing; a history is there with the first segment of its timeline', async () => {
    const one = store();
    expect(await one.walPresence('000000010000000000000007')).toBe('found');
    expect(await one.walPresence('000000010000000000000008')).toBe('missing');
    expect(await one.walPresence('00000002.history')).toBe('missing');
    rows().unshift({ ...rows()[0]!, id: 'w2', walFilename: '000000020000000000000008', timelineId: 2 });
    expect(await one.walPresence('00000002.history')).toBe('found');
  });
});

describeWithBucket('dumps in a controller', () => {
  const file = (): string => path.join(stateDir, 'app.dump');

  test('are listed, and one is downloaded as the controller decrypts it', async () => {
    const [dump] = await listDumps(session(), 'app logical');
    expect(dump).toMatchObject({ id: LOGICAL_BACKUP, createdAt: '2026-11-21T03:35:02.724712Z' });
    const expected = await readFile(path.join(DATABASUS_DIR, 'api', 'logical.dump'));
    expect(await downloadDump(session(), LOGICAL_BACKUP, file(), QUICK)).toBe(expected.length);
    expect((await readFile(file())).equals(expected)).toBe(true);
  });

  test('a token that is spent on the way is asked for again; a database that there is not is named', async () => {
    const one = session();
    await listDumps(one, LOGICAL);
    controller.faults.statuses = [null, 401];
    expect(await downloadDump(one, LOGICAL_BACKUP, file(), QUICK)).toBeGreaterThan(100_000);
    await expect(listDumps(one, 'other')).rejects.toMatchObject({
      type: 'NotFound',
      message: expect.stringContaining('it has app logical') as string,
    });
  });
});
