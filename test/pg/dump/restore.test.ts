/**
 * Scenario: production is lost, a dump is left. Real dumps of each format from a real server go into a new cluster.
 * Verified for each: 1 the plan says what it is, what it holds, what is lost; 2 every row is there; 3 the evidence; 4 a second call does nothing.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import {
  createHandOverSandbox,
  createPlanDump,
  createPrepareDumpSandbox,
  createRestoreDump,
  createVerifyDump,
} from '../../../activities/postgres/dump/index.js';
import { connectSandbox } from '../../../activities/postgres/sandbox/session.js';
import { requireMarker } from '../../../activities/postgres/sandbox/marker.js';
import { placeOf } from '../../../activities/postgres/sandbox/place.js';
import type { DumpPlan, PlanDumpInput, VerifyDumpResult } from '../../../shared/contracts/dump.js';
import type { SandboxRef } from '../../../shared/contracts/sandbox.js';
import { testTools } from '../../support/tools.js';
import { makeScene, ROWS, shopUrl, type Scene } from './support.js';

jest.setTimeout(120_000);

let scene: Scene;
beforeAll(async () => {
  scene = await makeScene();
});
afterEach(async () => scene.clean());
afterAll(async () => scene.destroy());

type Restored = { ref: SandboxRef; plan: DumpPlan; verified: VerifyDumpResult };

async function restore(name: string, input: PlanDumpInput): Promise<Restored> {
  const { deps } = scene;
  const ref = scene.sandbox(name);
  const plan = await createPlanDump(deps)(input);
  await createPrepareDumpSandbox(deps)({ ref, plan });
  const first = await createRestoreDump(deps)({ ref, plan });
  expect(first.outcome).toBe('restored');
  expect(await createRestoreDump(deps)({ ref, plan })).toEqual({ ...first, outcome: 'already-restored' });
  return { ref, plan, verified: await createVerifyDump(deps)({ ref, plan }) };
}

async function ask(ref: SandboxRef, sql: string, database = 'shop'): Promise<unknown> {
  const place = placeOf(scene.config, ref);
  return connectSandbox(place, await requireMarker(place), { database }, async (client) => {
    const { rows } = await client.query<Record<string, unknown>>(sql);
    return Object.values(rows[0] ?? {})[0];
  });
}

function bad({ checks }: VerifyDumpResult): string[] {
  return checks.filter(({ ok }) => !ok).map(({ check, actual }) => `${check}: ${actual}`);
}

test.each([
  ['custom', 'custom', 'none'],
  ['directory', 'directory', 'none'],
  ['tar', 'tar', 'none'],
  ['plain', 'plain', 'none'],
  ['gzip', 'plain', 'gzip'],
  ['zstd', 'plain', 'zstd'],
  ['lz4', 'plain', 'lz4'],
])('a dump of kind %s comes back whole', async (name, format, compression) => {
  const input = scene.planInput(scene.dumps[name] ?? '');
  const { ref, plan, verified } = await restore(name, input);
  expect(plan.dump).toMatchObject({ format, compression, tables: 5, rows: ROWS + 4, changesDatabase: false });
  expect(plan.lost.untilFrom).toBe('last commit of dallas');
  expect(plan.extensions).toEqual(['pg_trgm']);
  expect(plan.replaces).toMatch(/^\d+$/);
  expect(bad(verified)).toEqual([]);
  expect(await ask(ref, 'select count(*)::int from orders')).toBe(ROWS);
  expect(await ask(ref, 'select count(*)::int from cache')).toBe(1);
  expect(await ask(ref, 'select max(body) from orders where id = 7')).toBe('row 7\n\\.');
  expect(await ask(ref, 'select nextval is null from (select null::int as nextval) x')).toBe(true);
});

test('owners and grants come with globals, and are left out without', async () => {
  const file = scene.dumps['custom'] ?? '';
  const without = await restore('without', scene.planInput(file));
  expect(without.plan).toMatchObject({ ownership: 'left-out', placeholderRoles: ['audit'] });
  expect(await ask(without.ref, "select tableowner from pg_tables where tablename = 'orders'")).toBe('postgres');
  const withThem = await restore('with', scene.planInput(file, { globals: scene.dumps['globals'] ?? '' }));
  expect(withThem.plan).toMatchObject({ ownership: 'kept', placeholderRoles: [] });
  expect(bad(withThem.verified)).toEqual([]);
  expect(await ask(withThem.ref, "select tableowner from pg_tables where tablename = 'orders'")).toBe('app');
  expect(await ask(withThem.ref, "select has_table_privilege('audit', 'orders', 'select')")).toBe(true);
  expect(await ask(withThem.ref, "select pg_get_userbyid(datdba) from pg_database where datname = 'shop'")).toBe('app');
  expect(await ask(withThem.ref, 'show work_mem')).toBe('8MB');
  expect(await ask(withThem.ref, "select rolpassword like 'SCRAM%' from pg_authid where rolname = 'app'")).toBe(true);
});

test('a dump of the whole cluster brings its roles and databases itself', async () => {
  const { ref, plan, verified } = await restore('cluster', scene.planInput(scene.dumps['cluster'] ?? ''));
  expect(plan.dump).toMatchObject({ format: 'plain', changesDatabase: true });
  expect(plan.placeholderRoles).toEqual([]);
  expect(bad(verified)).toEqual([]);
  expect(verified.checks.find(({ check }) => check === 'restore-errors')).toMatchObject({
    actual: 'no errors, 1 harmless',
  });
  expect(await ask(ref, 'select count(*)::int from orders')).toBe(ROWS);
  expect(await ask(ref, "select tableowner from pg_tables where tablename = 'orders'")).toBe('app');
});

test('another server is dumped, read-only, and restored', async () => {
  const source = { kind: 'server' as const, url: shopUrl(scene.primary), password: null };
  const { ref, plan, verified } = await restore('server', scene.planInput('', { source }));
  expect(plan.dump).toMatchObject({ takenAtFrom: 'now', database: 'shop', rows: null });
  expect(bad(verified)).toEqual([]);
  expect(await ask(ref, 'select count(*)::int from orders')).toBe(ROWS);
});

test("the new cluster has the encoding and locale of production, and is nobody else's", async () => {
  const { ref, plan } = await restore('locale', scene.planInput(scene.dumps['custom'] ?? ''));
  expect(plan.cluster).toMatchObject({ localeFrom: 'primary dallas', locale: { encoding: 'UTF8', collate: 'C' } });
  expect(await ask(ref, "select datcollate from pg_database where datname = 'shop'")).toBe('C');
  expect(await ask(ref, 'show data_checksums')).toBe('on');
  expect(await ask(ref, 'show archive_mode')).toBe('off');
  await expect(ask(ref, 'delete from orders')).rejects.toThrow(/read-only transaction/);
});

test('handed over, it is stopped, flushed, and dropped by nobody; one that was written to is refused', async () => {
  const { deps } = scene;
  const { ref, plan } = await restore('hand', scene.planInput(scene.dumps['custom'] ?? ''));
  const handed = await createHandOverSandbox(deps)({ ref, plan });
  expect(handed).toMatchObject({ outcome: 'handed-over', clusterState: 'shut down' });
  expect(handed.commands.join('\n')).toContain(`mv ${handed.dataDir} ${scene.primary.dataDir}`);
  expect(await createHandOverSandbox(deps)({ ref, plan })).toEqual({ ...handed, outcome: 'already-handed-over' });
  await expect(createRestoreDump(deps)({ ref, plan })).rejects.toMatchObject({ type: 'PreconditionFailed' });
  const configured = await readFile(path.join(handed.dataDir, 'postgresql.conf'), 'utf8');
  expect(configured).toBe(await readFile(path.join(scene.primary.dataDir, 'postgresql.conf'), 'utf8'));
  expect(await readFile(path.join(handed.dataDir, 'postgresql.auto.conf'), 'utf8')).toContain("archive_mode = 'off'");

  const second = await restore('written', scene.planInput(scene.dumps['custom'] ?? ''));
  const place = placeOf(scene.config, second.ref);
  await connectSandbox(
    place,
    await requireMarker(place),
    { database: 'shop', settings: { default_transaction_read_only: 'off' } },
    (client) => client.query('delete from orders where id = 1'),
  );
  const found = await createVerifyDump(deps)(second);
  expect(bad(found)).toContainEqual(expect.stringContaining('somebody wrote into it'));
  await expect(createHandOverSandbox(deps)(second)).rejects.toMatchObject({ type: 'SandboxTainted' });
});

test('PostgreSQL 17 dumps and restores with its own programs; 18 reads what 17 wrote, and 17 warns of what 18 wrote', async () => {
  const binDir = (await testTools()).postgres17Bin;
  if (binDir === undefined) return;
  const of17 = await makeScene({ binDir });
  try {
    const old = of17.dumps['custom'] ?? '';
    const ref = of17.sandbox('seventeen');
    const plan = await createPlanDump(of17.deps)(of17.planInput(old));
    expect(plan.cluster.postgresMajor).toBe(17);
    await createPrepareDumpSandbox(of17.deps)({ ref, plan });
    await createRestoreDump(of17.deps)({ ref, plan });
    expect(bad(await createVerifyDump(of17.deps)({ ref, plan }))).toEqual([]);
    expect(bad((await restore('from-17', scene.planInput(old))).verified)).toEqual([]);
    const newer = await createPlanDump(of17.deps)(of17.planInput(scene.dumps['custom'] ?? ''));
    expect(newer.warnings.join('\n')).toContain('the dump is of PostgreSQL 18, the new cluster is 17');
  } finally {
    await of17.destroy();
  }
});
