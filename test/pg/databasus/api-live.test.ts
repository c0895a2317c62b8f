/**
 * Scenario: the source lives and goes on writing, a receiver streams its WAL (a real pg_receivewal, as the controller runs it), and somebody wants the
 * state of a moment ago. Verified: a target in the segment that is still open is planned after the primary switched it, and reached with the
 * rows of that moment; a base whose own WAL is only in its tar can be restored.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { chownSync } from 'node:fs';
import path from 'node:path';

import { runProgramOrFail } from '../../../activities/lib/exec.js';
import { runAsOwner } from '../../../activities/postgres/data-directory.js';
import {
  createCombineIncrementals,
  createDiscardSandbox,
  createPrepareSandbox,
  createReplayWal,
  createRestoreBase,
  createVerifySandbox,
} from '../../../activities/postgres/sandbox/index.js';
import { isSegmentName } from '../../../shared/timeline.js';
import { destroyAllClusters, startCluster, type Cluster } from '../../support/cluster.js';
import { startController, type Controller, type ControllerRow } from '../../support/databasus-controller.js';
import { describeWithBucket } from '../../support/databasus.js';
import { waitFor } from '../../support/promotion-scene.js';
import { startPeer, type PeerProcess } from '../../support/peer-process.js';
import { TAR_END, tarEntry } from '../../support/tar.js';
import { planFor } from './api-scene.js';
import { sceneWith, type Scene } from './scene.js';

const ID = '11111111-2222-4333-8444-555555555555';
const SEGMENT = 16 * 1024 * 1024;

let controller: Controller;
let source: Cluster;
let receiver: PeerProcess | null = null;
let scene: Scene | null = null;

afterEach(async () => {
  await receiver?.stop('SIGKILL');
  await scene?.remove();
  await controller.stop();
  await destroyAllClusters();
});

/** Base and WAL of the source as the controller would have them, and its rows kept up with what is received. */
async function backUp(dir: string): Promise<void> {
  const walDir = path.join(dir, 'received');
  const baseDir = path.join(dir, 'base');
  for (const one of [walDir, baseDir]) {
    await mkdir(one);
    chownSync(one, source.owner.uid, source.owner.gid);
  }
  receiver = await startPeer({
    program: path.join(source.binDir, 'pg_receivewal'),
    args: ['-d', source.url, '-D', walDir, '--no-loop'],
    log: path.join(dir, 'receiver.log'),
    runAs: source.owner,
    ready: async () =>
      (await source.query<{ n: number }>('select count(*)::int n from pg_stat_replication'))[0]?.n === 1,
  });
  const startedAt = new Date().toISOString();
  const args = [
    '-d',
    source.url,
    '-D',
    baseDir,
    '-Ft',
    '-X',
    'fetch',
    '-c',
    'fast',
    '--no-sync',
    '--manifest-checksums',
    'SHA256',
  ];
  await runProgramOrFail(path.join(source.binDir, 'pg_basebackup'), args, runAsOwner(source.owner));
  const manifest = await readFile(path.join(baseDir, 'backup_manifest'), 'utf8');
  const { 'WAL-Ranges': ranges } = JSON.parse(manifest) as {
    'WAL-Ranges': { 'Start-LSN': string; 'End-LSN': string }[];
  };
  const [{ id } = { id: '' }] = await source.query<{ id: string }>(
    'select system_identifier::text id from pg_control_system()',
  );
  const base: ControllerRow = {
    id: 'base-1',
    type: 'FULL',
    status: 'COMPLETED',
    timelineId: 1,
    startLsn: ranges[0]!['Start-LSN'],
    stopLsn: ranges[0]!['End-LSN'],
    sizeMb: 4,
    createdAt: startedAt,
    completedAt: new Date().toISOString(),
  };
  const received = async (): Promise<string[]> => (await readdir(walDir)).filter(isSegmentName).sort();
  // The base ended it, and a receiver on a busy machine has it a moment later.
  const ended = `00000001${ranges[0]!['End-LSN'].replace(/^0\/(.*).{6}$/, (_, high: string) => high.padStart(16, '0'))}`;
  await waitFor(async () => (await received()).includes(ended));
  const database = {
    id: ID,
    name: 'live',
    version: '18',
    systemIdentifier: id,
    rows: [base],
    config: { databaseId: ID, isBackupsEnabled: true },
    stream: async function* () {
      const files: [string, Buffer][] = [
        ['full/base.tar', await readFile(path.join(baseDir, 'base.tar'))],
        ['full/backup_manifest', Buffer.from(manifest)],
      ];
      // The segment of the backup itself comes in its tar only.
      const own = Math.floor(Number.parseInt(base.stopLsn.split('/')[1] ?? '', 16) / SEGMENT);
      for (const name of (await received()).filter((one) => Number.parseInt(one.slice(16), 16) > own)) {
        files.push([`wal/${name}`, await readFile(path.join(walDir, name))]);
      }
      const sums = files.map(([name, content]) => `${createHash('sha256').update(content).digest('hex')}  ${name}\n`);
      for (const [name, content] of files) yield tarEntry(name, content);
      yield Buffer.concat([tarEntry('MANIFEST.sha256', sums.join('')), TAR_END]);
    },
  };
  controller.databases.set(ID, database);
  controller.beforeList = async () => {
    const rows = await Promise.all((await received()).map((name) => rowOf(walDir, name)));
    database.rows = [...rows.reverse(), base];
  };
}

async function rowOf(walDir: string, name: string): Promise<ControllerRow> {
  const number = Number.parseInt(name.slice(16), 16);
  const lsn = (at: number): string => `0/${(at * SEGMENT).toString(16).toUpperCase()}`;
  const { mtime } = await stat(path.join(walDir, name));
  return {
    id: `wal-${name}`,
    type: 'WAL',
    status: 'COMPLETED',
    timelineId: 1,
    startLsn: lsn(number),
    stopLsn: lsn(number + 1),
    walFilename: name,
    sizeMb: 16,
    createdAt: mtime.toISOString(),
  };
}

async function now(): Promise<string> {
  const [row] = await source.query<{ at: string }>(
    `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at`,
  );
  return row?.at ?? '';
}

describeWithBucket('a source that lives behind a controller', () => {
  test('a moment ago, in the open segment: the primary hands it over, and the rows of that moment are there', async () => {
    controller = await startController();
    source = await startCluster();
    await source.query('create table notes as select g as id from generate_series(1, 100) g');
    process.env['PGR_TEST_CONTROLLER_PASSWORD'] = controller.password;
    const backups = {
      kind: 'databasus',
      url: controller.url,
      email: controller.email,
      password: 'env:PGR_TEST_CONTROLLER_PASSWORD',
      database: 'live',
    };
    const expected = {
      id: ID,
      postgresMajor: 18,
      targetTime: '',
      rowsAndMd5AtTarget: '110 notes',
      query: "select count(*)||' notes' from notes",
      database: 'postgres',
      presentAtTarget: '',
      absentAtTarget: '',
    };
    const { port, dataDir, binDir } = source;
    scene = await sceneWith(
      backups,
      { ...expected },
      { binDir, programs: ['fetch-databasus-api'], node: { port, dataDir } },
    );
    await backUp(scene.dir);
    await source.query('insert into notes select g from generate_series(101, 110) g');
    const target = await now();
    await source.query('delete from notes');

    const plan = await planFor(scene, { kind: 'time', value: target });
    expect(plan).toMatchObject({ boundaryAfterFetch: true, baseChain: [{ id: 'base-1' }] });
    const ref = {
      environment: 'shop',
      run: 'shop/pitr/live',
      runId: 'live-0000-4000-8000-000000000000',
      sandbox: 'live',
      host: 'dallas',
    };
    const { deps } = scene;
    try {
      await createPrepareSandbox(deps)({ ref, plan });
      const { plan: complete } = await createRestoreBase(deps)({ ref, plan });
      expect(complete!.boundary.kept!.time <= target && target < complete!.boundary.dropped!.time).toBe(true);
      await createCombineIncrementals(deps)({ ref, plan: complete! });
      await createReplayWal(deps)({ ref, plan: complete! });
      const { checks } = await createVerifySandbox(deps)({ ref, plan: complete! });
      const seen = Object.fromEntries(checks.map(({ check, actual }) => [check, actual]));
      expect(seen['check: rows and md5']).toBe('110 notes');
      expect(checks.filter(({ ok, check }) => !ok && !/^check: (present|absent)$/.test(check))).toEqual([]);
    } finally {
      await createDiscardSandbox(deps)({ ref });
    }
  }, 120_000);
});
