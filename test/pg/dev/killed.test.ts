/**
 * Scenario: a restore is killed with SIGKILL in each of its phases, and run again.
 * Verified: 1 the result is the same as of one that was not killed; 2 tables that were done are not loaded again; 3 the database in use is there all the
 * time; 4 settings of the server that were changed for the load are what they were before.
 */
import { execa } from 'execa';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { DevPhase, DevPlan } from '../../../shared/contracts/dev.js';
import { bundleFile } from '../../support/bundle.js';
import { waitFor } from '../../support/promotion-scene.js';
import { makeScene, ROWS, sqlFile, UNTIL_USABLE, type Scene } from './support.js';

jest.setTimeout(240_000);

let scene: Scene;
let program = '';
let sql = '';

beforeAll(async () => {
  scene = await makeScene();
  program = path.join(scene.dir, 'restore-dev.cjs');
  await bundleFile('workers/restore-dev.ts', program);
  sql = path.join(scene.dir, 'once.sql');
  await writeFile(sql, 'create table once (n int);\ninsert into once values (1);\n');
});
beforeEach(async () => {
  for (const name of ['shop_dev', 'shop_dev__pgr_new', 'shop_dev__pgr_previous']) {
    await scene.dev.query(`drop database if exists ${name} with (force)`);
  }
  await scene.dev.query('create database shop_dev');
  await scene.dev_sql('create table mine as select 1 as one');
});
afterAll(async () => scene.destroy());

/** Runs a phase as its job does, in a process that dies at the fault point. */
async function killedAt(fault: string, plan: DevPlan, phase: DevPhase): Promise<void> {
  const flag = path.join(scene.dir, 'flag');
  const jobDir = path.join(scene.dir, 'job');
  await mkdir(jobDir, { recursive: true });
  await rm(flag, { force: true });
  const specFile = path.join(scene.dir, 'spec.json');
  await writeFile(specFile, JSON.stringify(await scene.spec(plan, phase)));
  const ended = await execa(process.execPath, [program, specFile], {
    reject: false,
    env: { PGR_FAULT: fault, PGR_FAULT_FLAG: flag, PGR_JOB_DIR: jobDir },
  });
  expect({ signal: ended.signal, stderr: ended.stderr }).toEqual({ signal: 'SIGKILL', stderr: '' });
}

const COUNTS = `select (select count(*) from customers) as customers, (select count(*) from orders) as orders,
  (select count(*) from visits) as visits, (select count(*) from log.audits) as audits, (select count(*) from versions) as versions,
  (select count(*) from once) as once, (select count(*) from pg_constraint where not convalidated and contype = 'f') as unproven,
  (select count(*) from pg_indexes where schemaname in ('public', 'log') and indexname !~ 'pgr_default') as indexes,
  (select count(*) from order_totals) > 0 as totals`;
const WHOLE = {
  ...{ customers: '500', orders: String(ROWS), visits: String(ROWS), audits: String(ROWS), versions: '1000' },
  ...{ once: '1', unproven: '0', indexes: '16', totals: true },
};

async function planOf(more: Partial<DevPlan> = {}): Promise<DevPlan> {
  return scene.plan(scene.dumps.custom, { postRestore: [await sqlFile(sql)], mode: 'full', ...more });
}

async function settings(): Promise<unknown> {
  return scene.dev.query(
    "select name, setting from pg_settings where name in ('max_wal_size', 'checkpoint_timeout', 'autovacuum') order by 1",
  );
}

const FAULTS: [string, DevPhase][] = [
  ['restore-dev:created-before-mark', 'schema'],
  ['restore-dev:schema-half', 'schema'],
  ['restore-dev:schema-done', 'schema'],
  ['restore-dev:settings-changed', 'load'],
  ['restore-dev:table-done', 'load'],
  ['restore-dev:loaded', 'load'],
  ['restore-dev:before-post-sql', 'finish'],
  ['restore-dev:post-sql-done', 'finish'],
  ['restore-dev:swapped', 'swap'],
];

test.each(FAULTS)('killed at %s in phase %s, the next attempt ends in the same database', async (fault, phase) => {
  const plan = await planOf();
  const at = UNTIL_USABLE.indexOf(phase);
  if (at > 0) await scene.run(plan, ...UNTIL_USABLE.slice(0, at));
  await killedAt(fault, plan, phase);
  if (phase !== 'swap') expect(await scene.dev_sql('select one from mine')).toEqual([{ one: 1 }]);
  await scene.run(plan, ...UNTIL_USABLE.slice(at));
  expect(await scene.dev_sql(COUNTS)).toEqual([WHOLE]);
  expect(await scene.dev_sql('select one from mine', 'shop_dev__pgr_previous')).toEqual([{ one: 1 }]);
});

test('tables that are done are not loaded again, by this run or by the next one', async () => {
  const plan = await planOf({ jobs: 1 });
  await scene.run(plan, 'schema');
  await killedAt('restore-dev:table-done', plan, 'load');
  const done = "select key, at::text from pgr_restore.done where key like 'data:%' order by key";
  const before = await scene.dev_sql(done, 'shop_dev__pgr_new');
  expect(before).toHaveLength(1);
  // What the next run does first: the schema is found, with everything in it.
  expect((await scene.run(plan, 'schema')).outcome).toBe('already-done');
  await scene.run(plan, 'load');
  const after = await scene.dev_sql(done, 'shop_dev__pgr_new');
  expect(after).toEqual(expect.arrayContaining(before));
  expect(after.length).toBeGreaterThan(5);
});

test('another dump is not mixed into what an earlier one left', async () => {
  const plan = await planOf();
  await scene.run(plan, 'schema');
  await killedAt('restore-dev:table-done', plan, 'load');
  const other = { ...plan, dump: { ...plan.dump, createdAt: '2026-11-22T00:00:00Z' } };
  expect((await scene.run(other, 'schema')).outcome).toBe('done');
  expect(await scene.dev_sql('select key from pgr_restore.done', 'shop_dev__pgr_new')).toEqual([]);
});

test('settings of the server are put back after a kill, also those that somebody had set', async () => {
  await scene.dev.query("alter system set checkpoint_timeout = '7min'");
  await scene.dev.query('select pg_reload_conf()');
  // A reload reaches the sessions when the server gets round to it.
  const until = async (wanted: unknown): Promise<void> => {
    await waitFor(async () => JSON.stringify(await settings()) === JSON.stringify(wanted), 60_000).catch(
      () => undefined,
    );
    expect(await settings()).toEqual(wanted);
  };
  const before = [
    { name: 'autovacuum', setting: 'on' },
    { name: 'checkpoint_timeout', setting: '420' },
    { name: 'max_wal_size', setting: '1024' },
  ];
  await until(before);
  const plan = await planOf();
  await scene.run(plan, 'schema');
  await killedAt('restore-dev:settings-changed', plan, 'load');
  await until([
    { name: 'autovacuum', setting: 'off' },
    { name: 'checkpoint_timeout', setting: '3600' },
    { name: 'max_wal_size', setting: '16384' },
  ]);
  await scene.run(plan, 'put-back');
  await until(before);
  await scene.run(plan, 'load');
  await until(before);
  await scene.dev.query('alter system reset checkpoint_timeout');
});

const LATER: [string, DevPhase][] = [
  ['restore-dev:deferred-table-done', 'load-deferred'],
  ['restore-dev:before-merge', 'finish-deferred'],
  ['restore-dev:merged', 'finish-deferred'],
];

test.each(LATER)('killed at %s in phase %s, the deferred rows are there once', async (fault, phase) => {
  const plan = await planOf({ mode: 'fast', deferred: ['visits', 'log.audits'] });
  await scene.run(plan, ...UNTIL_USABLE);
  const later = { ...plan, mode: 'deferred' as const };
  if (phase === 'finish-deferred') await scene.run(later, 'load-deferred');
  await killedAt(fault, later, phase);
  await scene.run(later, 'load-deferred', 'finish-deferred');
  expect(await scene.dev_sql(COUNTS)).toEqual([WHOLE]);
});

test('two restores of one database do not meet', async () => {
  const plan = await planOf();
  const [first, second] = await Promise.allSettled([
    scene.run(plan, 'schema', 'load'),
    scene.run(plan, 'schema', 'load'),
  ]);
  expect([first.status, second.status].sort()).toEqual(['fulfilled', 'fulfilled']);
  await scene.run(plan, 'finish', 'swap');
  expect(await scene.dev_sql(COUNTS)).toEqual([WHOLE]);
});
