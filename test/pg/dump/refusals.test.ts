/**
 * Scenario: the dump, or what it needs, is not what it should be.
 * Verified: 1 what can be known before is refused before anything is made; 2 what shows while it is restored ends in a failure or in evidence that is not
 * good, never in a cluster that looks whole; 3 no message shows a password or a row.
 */
import { mkdir, readFile, truncate, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';

import {
  createHandOverSandbox,
  createPlanDump,
  createPrepareDumpSandbox,
  createRestoreDump,
  createVerifyDump,
} from '../../../activities/postgres/dump/index.js';
import { isFailureOf } from '../../../activities/lib/failure.js';
import { runProgramOrFail } from '../../../activities/lib/exec.js';
import { pathExists } from '../../../activities/postgres/data-directory.js';
import { placeOf } from '../../../activities/postgres/sandbox/place.js';
import type { DumpPlan, PlanDumpInput } from '../../../shared/contracts/dump.js';
import type { SandboxRef } from '../../../shared/contracts/sandbox.js';
import { startCluster } from '../../support/cluster.js';
import { makeDeps } from './deps.js';
import { inShop, makeScene, refOf, shopUrl, writeDump, type Scene } from './support.js';

jest.setTimeout(120_000);

let scene: Scene;
beforeAll(async () => {
  scene = await makeScene();
});
afterEach(async () => scene.clean());
afterAll(async () => scene.destroy());

async function cut(name: string, share: number): Promise<string> {
  const content = await readFile(scene.dumps[name] ?? '');
  return writeDump(scene, `cut-${path.basename(scene.dumps[name] ?? '')}`, content.subarray(0, content.length * share));
}

async function refusal(input: PlanDumpInput): Promise<{ type: string; message: string }> {
  try {
    await createPlanDump(scene.deps)(input);
  } catch (error) {
    const { type, message } = error as { type: string; message: string };
    return { type, message };
  }
  throw new Error('it was not refused');
}

async function restore(ref: SandboxRef, plan: DumpPlan): Promise<void> {
  await createPrepareDumpSandbox(scene.deps)({ ref, plan });
  await createRestoreDump(scene.deps)({ ref, plan });
}

test.each(['custom', 'plain', 'gzip', 'zstd', 'lz4', 'tar', 'cluster', 'globals'])(
  'a %s dump that was cut off is refused before anything is made',
  async (name) => {
    const file = await cut(name, 0.9);
    const input =
      name === 'globals' ? scene.planInput(scene.dumps['custom'] ?? '', { globals: file }) : scene.planInput(file);
    expect(await refusal(input)).toMatchObject({ type: 'BackupCorrupt' });
    expect(await pathExists(placeOf(scene.config, refOf('any')).root)).toBe(false);
  },
);

test('a directory dump without one of its files is refused', async () => {
  const copy = path.join(scene.dir, 'dumps', 'broken.dir');
  await runProgramOrFail('cp', ['-r', scene.dumps['directory'] ?? '', copy]);
  await runProgramOrFail('sh', ['-c', 'rm "$0"/*.dat.gz', copy]);
  expect(await refusal(scene.planInput(copy))).toMatchObject({ type: 'BackupCorrupt' });
});

test('quick does not read the data: damage in them shows in the restore, and is never taken for whole', async () => {
  const file = await cut('custom', 0.9);
  const plan = await createPlanDump(scene.deps)(scene.planInput(file, { quick: true }));
  expect(plan.warnings.join('\n')).toContain('were not read (--quick)');
  const ref = scene.sandbox('quick');
  await createPrepareDumpSandbox(scene.deps)({ ref, plan });
  const outcome = await createRestoreDump(scene.deps)({ ref, plan }).catch((error: unknown) => error);
  if (isFailureOf(outcome, 'CommandFailed')) expect(outcome.message).toContain('pg_restore ended with exit code 1');
  else expect((await createVerifyDump(scene.deps)({ ref, plan })).ok).toBe(false);
});

test.each([
  ['that is not there', '/nowhere/shop.dump', 'NotFound', 'ENOENT'],
  ['that is no dump', '/etc/passwd', 'BackupCorrupt', 'not written by pg_dump'],
  ['that is a directory of something else', '/etc', 'BackupCorrupt', 'without toc.dat'],
])('a file %s', async (_, file, type, text) => {
  expect(await refusal(scene.planInput(file))).toEqual({ type, message: expect.stringContaining(text) as string });
});

test('an archive that was compressed again, and globals that are none, say what to do', async () => {
  await runProgramOrFail('gzip', ['-k', scene.dumps['custom'] ?? '']);
  expect(await refusal(scene.planInput(`${scene.dumps['custom'] ?? ''}.gz`))).toMatchObject({ type: 'BadUsage' });
  const globals = scene.dumps['plain'] ?? '';
  expect(await refusal(scene.planInput(scene.dumps['custom'] ?? '', { globals }))).toMatchObject({ type: 'BadUsage' });
});

test('extensions that are not installed are all named', async () => {
  const text = (await readFile(scene.dumps['plain'] ?? '', 'utf8')).replace(
    'CREATE EXTENSION',
    'CREATE EXTENSION timescaledb;\nCREATE EXTENSION postgis;\nCREATE EXTENSION',
  );
  const file = await writeDump(scene, 'extensions.sql', text);
  expect(await refusal(scene.planInput(file))).toEqual({
    type: 'PreconditionFailed',
    message: 'the dump needs extensions that are not installed here: postgis, timescaledb',
  });
});

test('programs of another major, and a server with another password or none at all', async () => {
  const source = { kind: 'server' as const, password: 'env:PGR_TEST_SOURCE' };
  process.env['PGR_TEST_SOURCE'] = 'hunter22';
  const locked = await startCluster({ password: 'right-one' });
  const url = `postgresql://postgres@127.0.0.1:${String(locked.port)}/postgres`;
  const wrong = await refusal(scene.planInput('', { source: { ...source, url } }));
  expect(wrong).toMatchObject({ type: 'CredentialsRefused' });
  expect(wrong.message).not.toContain('hunter22');
  process.env['PGR_TEST_SOURCE'] = 'right-one';
  const plan = await createPlanDump(scene.deps)(scene.planInput('', { source: { ...source, url } }));
  expect(JSON.stringify(plan)).not.toContain('right-one');
  await locked.destroy();
  expect(await refusal(scene.planInput('', { source: { ...source, url } }))).toMatchObject({
    type: 'DatabaseUnavailable',
  });
  const withPassword = { ...source, url: url.replace('postgres@', 'postgres:right-one@') };
  const refused = await refusal(scene.planInput('', { source: withPassword }));
  expect(refused).toMatchObject({ type: 'BadUsage' });
  expect(refused.message).not.toContain('right-one');
});

test('a script with a row that cannot be is rolled back; the next attempt begins with a new cluster', async () => {
  const text = (await readFile(scene.dumps['plain'] ?? '', 'utf8')).replace(
    /(COPY public\.orders .*\n)/,
    '$11\tsecret@example.com\n',
  );
  const file = await writeDump(scene, 'twice.sql', text);
  const plan = await createPlanDump(scene.deps)(scene.planInput(file));
  const ref = scene.sandbox('twice');
  await createPrepareDumpSandbox(scene.deps)({ ref, plan });
  const failure = (await createRestoreDump(scene.deps)({ ref, plan }).catch((error: unknown) => error)) as Error;
  expect(failure).toMatchObject({ type: 'CommandFailed' });
  expect(failure.message).toContain('psql ended with exit code 3');
  expect(failure.message).not.toContain('secret@example.com');
  await expect(createVerifyDump(scene.deps)({ ref, plan })).rejects.toMatchObject({ type: 'PreconditionFailed' });
  const again = (await createRestoreDump(scene.deps)({ ref, plan }).catch((error: unknown) => error)) as Error;
  expect(again).toMatchObject({ type: 'CommandFailed' });
  const attempt = await readFile(path.join(placeOf(scene.config, ref).dir, 'attempt.json'), 'utf8');
  expect(JSON.parse(attempt)).toEqual({ number: 2, state: 'spent' });
});

test('errors that pg_restore passes over are evidence that is not good', async () => {
  const space = path.join(scene.dir, 'space');
  await mkdir(space, { mode: 0o700 });
  await runProgramOrFail('chown', [`${String(scene.primary.owner.uid)}:${String(scene.primary.owner.gid)}`, space]);
  await scene.primary.query(`create tablespace fast location '${space}'`);
  await inShop(scene.primary, 'create table far (id int) tablespace fast; insert into far values (1)');
  const file = path.join(scene.dir, 'dumps', 'far.dump');
  await runProgramOrFail(path.join(scene.primary.binDir, 'pg_dump'), ['-d', shopUrl(scene.primary), '-Fc', '-f', file]);
  await inShop(scene.primary, 'drop table far');
  const plan = await createPlanDump(scene.deps)(scene.planInput(file));
  const ref = scene.sandbox('far');
  await restore(ref, plan);
  const { ok, checks } = await createVerifyDump(scene.deps)({ ref, plan });
  expect(ok).toBe(false);
  expect(checks.find(({ check }) => check === 'restore-errors')).toMatchObject({
    ok: false,
    actual: expect.stringContaining('"default_tablespace": "fast"') as string,
  });
});

test('a file that changed after the plan is not restored', async () => {
  const file = await writeDump(scene, 'changing.sql', await readFile(scene.dumps['plain'] ?? ''));
  const plan = await createPlanDump(scene.deps)(scene.planInput(file));
  const ref = scene.sandbox('changing');
  await createPrepareDumpSandbox(scene.deps)({ ref, plan });
  await utimes(file, new Date(), new Date(Date.now() + 60_000));
  await expect(createRestoreDump(scene.deps)({ ref, plan })).rejects.toMatchObject({ type: 'PreconditionFailed' });
});

test('a locale that this host does not have says so; a directory of somebody else stays as it is', async () => {
  const locale = {
    encoding: 'UTF8',
    provider: 'libc' as const,
    collate: 'xx_XX.UTF-8',
    ctype: 'xx_XX.UTF-8',
    locale: null,
  };
  const plan = await createPlanDump(scene.deps)(scene.planInput(scene.dumps['custom'] ?? '', { locale }));
  const ref = scene.sandbox('locale');
  const failure = (await createPrepareDumpSandbox(scene.deps)({ ref, plan }).catch((error: unknown) => error)) as Error;
  expect(failure).toMatchObject({ type: 'PreconditionFailed' });
  expect(failure.message).toContain('xx_XX.UTF-8');

  const other = refOf('other');
  const place = placeOf(scene.config, other);
  await mkdir(place.dir, { recursive: true });
  await writeFile(path.join(place.dir, 'precious.txt'), 'x');
  await expect(createPrepareDumpSandbox(scene.deps)({ ref: other, plan })).rejects.toMatchObject({
    type: 'SandboxNotOurs',
  });
  await expect(createHandOverSandbox(scene.deps)({ ref: other, plan })).rejects.toMatchObject({ type: 'NotFound' });
  expect(await readFile(path.join(place.dir, 'precious.txt'), 'utf8')).toBe('x');
});

test('production that is lost: its locale from the dump, its end from what is left', async () => {
  const lost = await makeScene();
  try {
    await lost.primary.stop();
    const deps = makeDeps(lost.dir, lost.config);
    const known = await createPlanDump(deps)(lost.planInput(lost.dumps['custom'] ?? ''));
    expect(known.lost.untilFrom).toContain('last checkpoint of the old data directory');
    expect(known.cluster).toMatchObject({ localeFrom: 'the dump', locale: { encoding: 'UTF8', collate: 'C' } });
    await truncate(path.join(lost.primary.dataDir, 'global', 'pg_control'), 0);
    const nothing = await createPlanDump(deps)(lost.planInput(lost.dumps['custom'] ?? ''));
    expect(nothing).toMatchObject({ replaces: null, lost: { until: null, seconds: null } });
    expect(nothing.warnings.join('\n')).toMatch(/dallas does not answer: .*\n.*data cannot be read/);
  } finally {
    await lost.destroy();
  }
});
