import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { describeAccident, describeStatus, withoutPassword } from '../../../lab/describe.js';
import { labDestroy } from '../../../lab/destroy.js';
import { makeLocation, outsideDirFor, removeLocation } from '../../../lab/location.js';
import { makeLab, openLab } from '../../../lab/open.js';
import { createProgress } from '../../../lab/progress.js';
import { summarise, type LabStatus } from '../../../lab/status.js';
import { SEED_ROWS } from '../../../lab/seed-sql.js';

let dir: string;
const said: string[] = [];
const progress = createProgress((text) => said.push(text));

beforeEach(async () => {
  said.length = 0;
  dir = await mkdtemp(path.join(tmpdir(), 'pgr-labdir-'));
});

afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

const options = (name: string) => ({
  dir: path.join(dir, name),
  progress,
  distDir: '/dist',
  node: process.execPath,
  env: {},
});

describe('the directory of a lab', () => {
  it('is refused when somebody else has files in it, and nothing of them changes', async () => {
    await mkdir(path.join(dir, 'project'));
    await writeFile(path.join(dir, 'project', 'precious.txt'), 'x');
    await expect(makeLab(options('project'), null)).rejects.toMatchObject({ code: 'PreconditionFailed' });
    expect(await readdir(path.join(dir, 'project'))).toEqual(['precious.txt']);
  });

  it('is destroyed only with our marker in it', async () => {
    await mkdir(path.join(dir, 'project'));
    await writeFile(path.join(dir, 'project', 'lab.json'), '{}');
    await expect(labDestroy(path.join(dir, 'project'), progress)).rejects.toMatchObject({ code: 'NotFound' });
    expect(await readFile(path.join(dir, 'project', 'lab.json'), 'utf8')).toBe('{}');
    await makeLab(options('lab'), null);
    await labDestroy(path.join(dir, 'lab'), progress);
    expect(await readdir(dir)).toEqual(['project']);
  });

  it('that was never made is NotFound', async () => {
    await expect(openLab(path.join(dir, 'none'))).rejects.toMatchObject({ code: 'NotFound', next: ['pgr lab up'] });
  });

  const asRoot = process.getuid?.() === 0 ? it : it.skip;
  asRoot('lies below /var/tmp when the servers cannot reach it, and goes with its link', async () => {
    const user = { name: 'nobody', uid: 65_534, gid: 65_534 };
    const shown = path.join(dir, '.lab'); // mkdtemp is 0700
    const location = await makeLocation(shown, user, progress.note);
    try {
      expect(location.realDir).toBe(outsideDirFor(shown));
      expect((await lstat(shown)).isSymbolicLink()).toBe(true);
      expect(said.join('')).toContain('is a link to it');
      expect(await makeLocation(shown, user, progress.note)).toEqual(location);
    } finally {
      await removeLocation(location);
    }
    expect(await readdir(dir)).toEqual([]);
  });

  asRoot('is made again when only the link to it is left', async () => {
    const user = { name: 'nobody', uid: 65_534, gid: 65_534 };
    await symlink(path.join(dir, 'gone'), path.join(dir, '.lab'));
    const location = await makeLocation(path.join(dir, '.lab'), user, progress.note);
    await removeLocation(location);
    expect(location.realDir).toBe(outsideDirFor(path.join(dir, '.lab')));
  });
});

describe('what the lab says', () => {
  const status: LabStatus = {
    dir: '/x',
    realDir: '/x',
    state: 'up',
    config: '/x/recovery.yaml',
    temporal: { address: 'a', ui: 'http://ui', namespace: 'pgr', pid: 1 },
    s3: { endpoint: 'http://s3', bucket: 'b', accessKeyId: 'AK', secretAccessKey: 'SK', pid: 2 },
    nodes: [
      { name: 'dallas', url: 'postgresql://postgres:pw@h:1/shop', port: 1, dataDir: '/d', pid: 3, role: 'primary' },
    ],
    write: { url: 'postgresql://shop:pw@h:1,h:2/shop?target_session_attrs=read-write' },
    workers: [{ role: 'all', pid: 4 }],
    writer: { pid: null },
    extras: [{ name: 'healthDallas', address: '127.0.0.1:8009', pid: 5 }],
    tools: { temporal: 't', postgresBin: 'p', weed: 'w' },
  };

  it('shows no password to people', () => {
    expect(describeStatus(status)).not.toMatch(/pw|SK/);
    expect(withoutPassword('postgresql://u:p@h:1,h:2/d')).toBe('postgresql://u@h:1,h:2/d');
  });

  it('says up, partly or down', () => {
    expect([summarise([1, 2]), summarise([1, null]), summarise([null, null])]).toEqual(['up', 'partly', 'down']);
  });

  it('ends an accident with the command that recovers from it', () => {
    const text = describeAccident({
      kind: 'truncate',
      story: 's',
      node: 'dallas',
      at: 'B',
      xid: '7',
      lastGoodTime: 'T',
      rowsLost: 1,
      lost: { orders: 1 },
    });
    expect(text).toContain('next: pgr pitr lab --to T --promote');
  });

  it('prints a stage with its time', async () => {
    let clock = 0;
    const lines: string[] = [];
    await createProgress(
      (text) => lines.push(text),
      () => (clock += 1500),
    ).stage('s3', () => Promise.resolve({ value: 1, says: 'there' }));
    expect(lines).toEqual(['  s3            1.5 s  there\n']);
  });
});

describe('the seed', () => {
  it('asks the server for nothing that differs from day to day or from version to version', () => {
    for (const sql of Object.values(SEED_ROWS)) expect(sql).not.toMatch(/now\(|random|clock_timestamp|hash|uuid/i);
  });
});
