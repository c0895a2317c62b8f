/** The plan of a restore from a dump, made on the host of the sandbox before anything is made there. Only reads. */
import { readdir, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import type { DumpPlan, PlanDumpInput } from '../../../shared/contracts/dump.js';
import { canonicalJson } from '../../../shared/canonical-json.js';
import { sha256Hex } from '../../../shared/sha256.js';
import { secondsBetween } from '../../../shared/target-time.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, sandboxRootOf, serverNodeFor } from '../../lib/environment-config.js';
import { runProgram } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';
import { readControlData, type ControlData } from '../control-data.js';
import { readSpace } from '../plan-recovery-space.js';
import { keptLibraries } from '../sandbox/settings.js';
import { readGlobals } from './globals.js';
import { chooseLocale, readLiveCluster, type LiveCluster } from './plan-cluster.js';
import { readSource, type Source } from './plan-source.js';

const MOST_JOBS = 4;
const MIB = 1024 * 1024;
const DEFAULT_SEGMENT_BYTES = 16 * MIB;

/** Throws NotFound, BadUsage, BackupCorrupt, MajorMismatch, PreconditionFailed, CredentialsRefused, SpaceMissing; nothing was made then. */
export function createPlanDump(deps: ActivityDeps) {
  return async function planDump(input: PlanDumpInput): Promise<DumpPlan> {
    const environment = environmentOf(deps.config, input.environment);
    const { binDir, dataDir } = serverNodeFor(environment, input.host);
    const { live, warnings } = await readLiveCluster(deps, input.environment);
    const old = await readOld(binDir, dataDir, warnings);
    const postgresMajor = await requireMajor(binDir, live, old);
    const ownership = ownershipOf(input);
    const globals = input.globals === null ? [] : (await readGlobals(input.globals)).roles;
    const { user, database } = environment.postgres;
    const source = await readSource(deps, binDir, input, { ownership, database });
    await requireExtensions(binDir, source.extensions);
    const { locale, from, warning } = chooseLocale(input.locale, live, source.locale);
    const { extensions, databaseSettings, notValidConstraints, tableRows, dump } = source;
    return hashed({
      environment: input.environment,
      host: input.host,
      source: input.source,
      globals: input.globals,
      jobs: input.jobs ?? Math.min(MOST_JOBS, os.availableParallelism()),
      dump,
      database,
      ownership: dump.format === 'plain' ? 'kept' : ownership,
      placeholderRoles: missingRoles(source, globals, user),
      extensions,
      databaseSettings,
      notValidConstraints,
      tableRows,
      cluster: { postgresMajor, locale, localeFrom: from, ...clusterOf(live, old) },
      estimateBytes: estimateOf(source, live),
      lost: lostOf(source, live, old),
      replaces: replacedBy(live, old),
      space: await readSpace(sandboxRootOf(environment, input.host), neededBytes(source, input, live)),
      warnings: [...source.warnings, ...warning, ...warnings, ...planWarnings(input, source, postgresMajor)],
    });
  };
}

/** The old data directory, null when there is none; one that cannot be read is said, and is not "none". */
async function readOld(binDir: string, dataDir: string, warnings: string[]): Promise<ControlData | null> {
  try {
    return await readControlData(binDir, dataDir);
  } catch (error) {
    warnings.push(`the data in ${dataDir} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
    return null;
  }
}

/** What a decision rests on: not the space that happens to be free, nor the seconds that pass while production goes on. */
function hashed(body: Omit<DumpPlan, 'hash'>): DumpPlan {
  const lost = { ...body.lost, until: undefined, seconds: undefined };
  return { ...body, hash: sha256Hex(canonicalJson({ ...body, space: undefined, lost })) };
}

function clusterOf(
  live: LiveCluster | null,
  old: ControlData | null,
): Pick<DumpPlan['cluster'], 'walSegmentBytes' | 'preloadLibraries'> {
  return {
    walSegmentBytes: live?.walSegmentBytes ?? old?.walSegmentBytes ?? DEFAULT_SEGMENT_BYTES,
    preloadLibraries: live === null ? [] : splitLibraries(keptLibraries(live.preloadLibraries)),
  };
}

function replacedBy(live: LiveCluster | null, old: ControlData | null): string | null {
  return live?.systemIdentifier ?? old?.systemIdentifier ?? null;
}

/** A script names its owners in its own text; of an archive they can be left out, and are where nobody brings the roles. */
function ownershipOf({ globals }: PlanDumpInput): DumpPlan['ownership'] {
  return globals === null ? 'left-out' : 'kept';
}

/** The programs are of production's major. Throws MajorMismatch. */
async function requireMajor(binDir: string, live: LiveCluster | null, old: ControlData | null): Promise<number> {
  const { stdout } = await runProgram(path.join(binDir, 'postgres'), ['--version']);
  const major = Number(/\(PostgreSQL\) (\d+)/.exec(stdout)?.[1] ?? Number.NaN);
  if (Number.isNaN(major)) throw stepFailure('PreconditionFailed', `there are no programs of PostgreSQL in ${binDir}`);
  const wanted = live?.postgresMajor ?? old?.postgresMajor ?? major;
  if (wanted === major) return major;
  throw stepFailure(
    'MajorMismatch',
    `production is PostgreSQL ${String(wanted)}, the programs in ${binDir} are ${String(major)}`,
  );
}

/** Throws PreconditionFailed naming every extension of the dump that is not installed. What cannot be told here is found before the restore. */
async function requireExtensions(binDir: string, wanted: readonly string[]): Promise<void> {
  const said = await runProgram(path.join(binDir, 'pg_config'), ['--sharedir']).catch(() => null);
  if (said?.exitCode !== 0 || wanted.length === 0) return;
  const names = await readdir(path.join(said.stdout.trim(), 'extension')).catch(() => null);
  if (names === null) return;
  const missing = wanted.filter((name) => !names.includes(`${name}.control`));
  if (missing.length > 0) throw extensionsMissing(missing);
}

/** The refusal that names the packages to install. */
export function extensionsMissing(missing: readonly string[]): Error {
  return stepFailure(
    'PreconditionFailed',
    `the dump needs extensions that are not installed here: ${missing.join(', ')}`,
    {
      hint: 'install their packages on the host of the sandbox, then start again; nothing was restored',
    },
  );
}

function missingRoles(source: Source, fromGlobals: readonly string[], superuser: string): string[] {
  const there = new Set([...fromGlobals, ...source.rolesMade, superuser]);
  return source.rolesNeeded.filter((role) => !there.has(role) && !role.startsWith('pg_'));
}

function splitLibraries(text: string): string[] {
  return text === '' ? [] : text.split(',');
}

/** Everything committed after the dump began; how long production went on is the best that anybody can say. */
function lostOf({ dump }: Source, live: LiveCluster | null, old: ControlData | null): DumpPlan['lost'] {
  const since = dump.takenAt;
  const to = (until: string, untilFrom: string): DumpPlan['lost'] => ({
    since,
    until,
    untilFrom,
    seconds: Math.max(0, Math.round(secondsBetween(since, until))),
  });
  if (live !== null && live.lastCommitAt !== null) return to(live.lastCommitAt, `last commit of ${live.node}`);
  if (live !== null) return to(live.now, `${live.node} answers and goes on`);
  const checkpoint = old === null ? Number.NaN : Date.parse(`${old.checkpointTime} UTC`);
  if (Number.isNaN(checkpoint)) return { since, until: null, untilFrom: 'nothing is left to tell it', seconds: null };
  return to(
    new Date(checkpoint).toISOString(),
    'last checkpoint of the old data directory, commits after it are not counted',
  );
}

/** Production's own size says most; it may have been emptied by what made the restore necessary. */
function estimateOf(source: Source, live: LiveCluster | null): number {
  return Math.max(source.databaseBytes, live?.databaseBytes ?? 0);
}

/** The database, and the directory in which a server is dumped meanwhile. */
function neededBytes(source: Source, { source: { kind } }: PlanDumpInput, live: LiveCluster | null): number {
  const database = estimateOf(source, live);
  return Math.ceil(database * (kind === 'server' ? 2 : 1.2)) + 512 * MIB;
}

function planWarnings(input: PlanDumpInput, { dump, rolesNeeded }: Source, major: number): string[] {
  const warnings: string[] = [];
  const from = Number.parseInt(dump.serverVersion ?? '', 10);
  if (from > major)
    warnings.push(
      `the dump is of PostgreSQL ${String(from)}, the new cluster is ${String(major)}: some of it may not be understood`,
    );
  if (input.globals === null && dump.format !== 'plain') {
    warnings.push(
      'owners and grants are left out, everything belongs to the superuser: give --globals FILE (pg_dumpall --globals-only) to keep them',
    );
  }
  if (input.globals === null && dump.format === 'plain' && rolesNeeded.length > 0 && !dump.changesDatabase) {
    warnings.push('no globals were given: roles of the dump that are not there are made without login and password');
  }
  warnings.push(
    'the new cluster has a system identifier of its own: its archive, its backups and its standbys begin anew',
  );
  return warnings;
}

/** True when the file is still the one that the plan was made for. */
export async function isSameFile(plan: DumpPlan): Promise<boolean> {
  if (plan.source.kind !== 'file') return true;
  const file = plan.dump.format === 'directory' ? path.join(plan.source.path, 'toc.dat') : plan.source.path;
  const facts = await stat(file).catch(() => null);
  if (facts === null) return false;
  return (
    facts.mtime.toISOString() === plan.dump.modifiedAt &&
    (plan.dump.format === 'directory' || facts.size === plan.dump.bytes)
  );
}
