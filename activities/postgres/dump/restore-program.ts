/**
 * What the job of a restore does, on a new and empty cluster: roles, database, content, statistics, and last of all the completion mark. It never
 * goes on with what an earlier one left: whoever starts it makes a new cluster first.
 */
import { rm } from 'node:fs/promises';
import type pg from 'pg';

import type { DumpPlan, RestoreDumpResult } from '../../../shared/contracts/dump.js';
import { withClient } from '../../lib/database.js';
import { stepFailure } from '../../lib/failure.js';
import { writeWhole } from '../../lib/write-whole.js';
import { faultPoint } from '../../lib/fault-points.js';
import type { JobProgress } from '../../lib/job-runner.js';
import { analyzeArgs, dumpServerArgs, psqlArgs, restoreArgs, type Server } from './commands.js';
import { isSameFile } from './plan-dump.js';
import { identifyDump, readArchiveHeader, scanDump, sqlOf } from './read-dump.js';
import { sourceEnvironment, sourceFailure } from './read-server.js';
import { cameToItsEnd } from './restore-errors.js';
import { addError, noErrors, runRestoring, type Ended, type RestoreErrors } from './run-program.js';

export type RestoreSpec = {
  plan: DumpPlan;
  binDir: string;
  server: Server;
  dumpDir: string;
  restored: string;
  attempt: number;
};

export type Reporter = { progress(progress: JobProgress): void };

/** The completion mark. `nextXid`: a later one means that somebody wrote into the cluster. */
export type RestoredMark = { planHash: string; nextXid: string; result: RestoreDumpResult };

const FAULT_HALF = 'restore-dump:half';
const FAULT_BEFORE_MARK = 'restore-dump:before-mark';
const LOOK_EVERY_MS = 2_000;

/** Returns what the completion mark says. `password` is that of a source server. */
export async function restoreDumpProgram(
  spec: RestoreSpec,
  reporter: Reporter,
  password: string | null,
): Promise<RestoreDumpResult> {
  const { plan } = spec;
  const startedMs = Date.now();
  const errors = noErrors();
  const content = await bringContent(spec, password);
  await restoreRoles(spec, content.rolesNeeded, errors);
  faultPoint(FAULT_HALF);
  const watch = watchSize(spec, reporter);
  try {
    await restoreContent(spec, content.path, errors, reporter);
  } finally {
    clearInterval(watch);
  }
  await applyDatabaseStatements(spec, content.databaseSettings, errors);
  const analyzeMs = Date.now();
  await analyze(spec, errors);
  const end = await inDatabase(spec, 'template1', async (client) => {
    await client.query('checkpoint');
    const { rows } = await client.query<{ xid: string; bytes: string }>(
      `select pg_snapshot_xmax(pg_current_snapshot())::text as xid,
              (select sum(pg_database_size(oid))::text from pg_database) as bytes`,
    );
    return rows[0];
  });
  const result: RestoreDumpResult = {
    outcome: 'restored',
    bytes: Number(end?.bytes ?? 0),
    seconds: (Date.now() - startedMs) / 1_000,
    analyzeSeconds: (Date.now() - analyzeMs) / 1_000,
    errors: errors.first,
    errorCount: errors.count,
    harmlessCount: errors.harmless,
    takenAt: content.takenAt,
    attempt: spec.attempt,
  };
  faultPoint(FAULT_BEFORE_MARK);
  await writeMark(spec.restored, { planHash: plan.hash, nextXid: end?.xid ?? '', result });
  await rm(spec.dumpDir, { recursive: true, force: true });
  return result;
}

async function writeMark(file: string, mark: RestoredMark): Promise<void> {
  await writeWhole(file, `${JSON.stringify(mark)}\n`);
}

type Content = { path: string; takenAt: string; rolesNeeded: string[]; databaseSettings: string[] };

/** The dump to restore: the file as the plan saw it, or one that is taken of the source now. */
async function bringContent(spec: RestoreSpec, password: string | null): Promise<Content> {
  const { plan, binDir, dumpDir } = spec;
  const { placeholderRoles: rolesNeeded, databaseSettings } = plan;
  if (plan.source.kind === 'file') {
    if (await isSameFile(plan)) {
      return { path: plan.source.path, takenAt: plan.dump.takenAt, rolesNeeded, databaseSettings };
    }
    throw stepFailure('PreconditionFailed', `${plan.source.path} is not the file any more that the plan was made for`, {
      hint: 'somebody replaced or touched it: `pgr abort`, then start again',
    });
  }
  await rm(dumpDir, { recursive: true, force: true });
  const errors = noErrors();
  const args = dumpServerArgs(plan.source.url, dumpDir, plan.jobs);
  const env = sourceEnvironment(password);
  const { exitCode, lastLines } = await runRestoring({ binDir, program: 'pg_dump', args, env }, errors);
  if (exitCode !== 0) throw sourceFailure(lastLines.join('\n'), password);
  const header = await readArchiveHeader(binDir, dumpDir);
  // What it needs is known only now; nobody could read it before.
  const file = await identifyDump(dumpDir);
  const facts = await scanDump(binDir, file, { ownership: plan.ownership, schemaOnly: true });
  return {
    path: dumpDir,
    takenAt: header.createdAt ?? plan.dump.takenAt,
    rolesNeeded: facts.rolesNeeded.filter((role) => !role.startsWith('pg_')),
    databaseSettings: facts.databaseSettings,
  };
}

/** Globals first, then roles that nobody brings: without them owners, grants and policies fail. */
async function restoreRoles(spec: RestoreSpec, needed: readonly string[], errors: RestoreErrors): Promise<void> {
  const { plan, binDir, server } = spec;
  if (plan.globals !== null) {
    const file = await identifyDump(plan.globals);
    const args = psqlArgs(server, 'postgres', false);
    const { exitCode } = await runRestoring({ binDir, program: 'psql', args }, errors, sqlOf(file));
    if (exitCode !== 0) throw brokeOff('psql', { exitCode, lastLines: [] }, errors);
  }
  await inDatabase(spec, 'template1', async (client) => {
    const { rows } = await client.query<{ name: string }>('select rolname::text as name from pg_roles');
    const there = new Set(rows.map(({ name }) => name));
    for (const role of needed.filter((name) => !there.has(name))) {
      await client.query(`create role ${client.escapeIdentifier(role)} nologin`);
    }
    await createDatabase(client, plan);
  });
}

/** Encoding and locale are those of the cluster. A script that makes its databases itself makes this one too. */
async function createDatabase(client: pg.Client, { database, dump }: DumpPlan): Promise<void> {
  if (dump.changesDatabase) return;
  const { rows } = await client.query('select 1 from pg_database where datname = $1', [database]);
  if (rows.length === 0) await client.query(`create database ${client.escapeIdentifier(database)} template template0`);
}

async function restoreContent(
  spec: RestoreSpec,
  file: string,
  errors: RestoreErrors,
  reporter: Reporter,
): Promise<void> {
  const { plan, binDir, server } = spec;
  const { dump, database, jobs, ownership } = plan;
  if (dump.format !== 'plain') {
    const args = restoreArgs(server, { file, format: dump.format, database, jobs, ownership });
    const ended = await runRestoring({ binDir, program: 'pg_restore', args }, errors);
    if (!cameToItsEnd(ended.exitCode, ended.lastLines)) throw brokeOff('pg_restore', ended, errors);
    return;
  }
  const whole = !dump.changesDatabase;
  const args = psqlArgs(server, whole ? database : 'postgres', whole);
  const ended = await runRestoring({ binDir, program: 'psql', args }, errors, counted(spec, file, reporter));
  if (ended.exitCode !== 0) throw brokeOff('psql', ended, errors);
}

/** The script as it is read; throws before its end when it is shorter than the one that the plan read. */
async function* counted(spec: RestoreSpec, file: string, reporter: Reporter): AsyncGenerator<Buffer> {
  const { compression, rawBytes } = spec.plan.dump;
  let done = 0;
  for await (const piece of sqlOf({ path: file, compression })) {
    yield piece;
    done += piece.length;
    reporter.progress({ done, total: rawBytes, unit: 'bytes', note: 'restoring' });
  }
  if (rawBytes === null || done === rawBytes) return;
  throw stepFailure('BackupCorrupt', `${file} gave ${String(done)} bytes of SQL, the plan read ${String(rawBytes)}`);
}

/** A restore that did not come to its end: the database is half, whatever is in it. */
function brokeOff(program: string, { exitCode }: Ended, errors: RestoreErrors): Error {
  const first = errors.first.find(({ harmless }) => !harmless)?.message ?? 'it said nothing';
  const end = exitCode === null ? 'was killed' : `ended with exit code ${String(exitCode)}`;
  return stepFailure('CommandFailed', `${program} ${end}: ${first}`, {
    hint: 'nothing of it is kept: mend what the message names, then `pgr retry` begins with a new cluster',
  });
}

async function applyDatabaseStatements(
  spec: RestoreSpec,
  statements: readonly string[],
  errors: RestoreErrors,
): Promise<void> {
  const { database } = spec.plan;
  await inDatabase(spec, 'template1', async (client) => {
    for (const statement of statements) {
      await client.query(statement.replace('{database}', client.escapeIdentifier(database))).catch((error: unknown) => {
        addError(errors, { message: `${statement}: ${error instanceof Error ? error.message : ''}`, harmless: false });
      });
    }
  });
}

async function analyze({ binDir, server, plan }: RestoreSpec, errors: RestoreErrors): Promise<void> {
  const { exitCode } = await runRestoring(
    { binDir, program: 'vacuumdb', args: analyzeArgs(server, plan.jobs) },
    errors,
  );
  if (exitCode !== 0) addError(errors, { message: 'not all tables could be analyzed', harmless: false });
}

/** An archive says nothing while it is restored: the size of the databases does. */
function watchSize(spec: RestoreSpec, reporter: Reporter): NodeJS.Timeout {
  let busy = false;
  const look = async (): Promise<void> => {
    if (busy || spec.plan.dump.format === 'plain') return;
    busy = true;
    const bytes = await inDatabase(spec, 'template1', async (client) => {
      const { rows } = await client.query<{ bytes: string }>(
        'select sum(pg_database_size(oid))::text as bytes from pg_database',
      );
      return Number(rows[0]?.bytes ?? 0);
    }).catch(() => null);
    busy = false;
    if (bytes === null) return;
    const total = bytes < spec.plan.estimateBytes ? spec.plan.estimateBytes : null;
    reporter.progress({ done: bytes, total, unit: 'bytes', note: 'size of the new cluster, the total is an estimate' });
  };
  return setInterval(() => void look(), LOOK_EVERY_MS);
}

async function inDatabase<T>(
  { server }: RestoreSpec,
  database: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const { socketDir: host, port, user } = server;
  const settings = { default_transaction_read_only: 'off' };
  return withClient({ host, port, user, database, password: null, statementTimeoutMs: 600_000, settings }, work);
}
