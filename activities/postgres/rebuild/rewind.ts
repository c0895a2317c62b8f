/**
 * New data by pg_rewind, in the work directory: the old data there (moved down in place; else a copy of the kept ones) are brought to the peer's history.
 * A rewind that was cut short leaves data that are no cluster any more; they are never used (patroni#3652).
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';

import type { ActivityDeps } from '../../lib/deps.js';
import { isFailureOf, stepFailure } from '../../lib/failure.js';
import type { JobSpec } from '../../lib/job-runner.js';
import { connectNode, sourceAddress } from '../connection.js';
import { CLEAN_STATES, readControlData } from '../control-data.js';
import { pathExists, runAsOwner, type Owner } from '../data-directory.js';
import { requireCluster, requireStopped } from '../promotion/node-place.js';
import { copyProgress, rewindProgress } from '../copy-progress.js';
import { copyTreeArgs, rewindArgs, rewindDryRunArgs } from './commands.js';
import { missingWal } from './kept-wal.js';
import { makeDirectory, moveDown } from './move-data.js';
import type { RebuildPlace } from './rebuild-place.js';
import { writeState, type RebuildState } from './rebuild-state.js';
import { emptyDirectory, runOnce } from './work-jobs.js';

export type RewindEnd =
  { outcome: 'rewound'; state: RebuildState } | { outcome: 'not-possible'; why: string; state: RebuildState };

const TRIES = 3;

/** Said by pg_rewind when the old data are a part of the peer's history as they are. */
const NOTHING_TO_DO = /no rewind required/;
/** Written by pg_rewind before anything else tells that it is done; the server recovers from there. */
const BACKUP_LABEL = 'backup_label';

/** `not-possible`: pg_rewind refused or was cut short, or the WAL behind it is gone; the old data are in the safety copy. `slot`: that of the standby on the peer. */
export async function rewindData(
  deps: ActivityDeps,
  place: RebuildPlace,
  state: RebuildState,
  owner: Owner,
  slot: string,
): Promise<RewindEnd> {
  let current = state;
  if (!current.rewinding) {
    const refusal = await tryOut(deps, place, owner);
    if (refusal !== null) return { outcome: 'not-possible', why: refusal, state: current };
    await putOldDataIntoWorkDir(deps, place, current, owner);
    await requireStopped(place.workDir);
    // Left over by a crash; pg_rewind, which recovers from it first, takes a reused pid for a running server.
    await rm(path.join(place.workDir, 'postmaster.pid'), { force: true });
    await requireCluster(place.node.binDir, place.workDir, place.systemIdentifier);
    await flushTimeline(deps, place);
    current = await writeState(place, { ...current, prepared: true, rewinding: true });
  }
  const spec = await rewindJob(deps, place, current, owner);
  const end = await runOnce(deps, spec, rewindProgress(deps.jobs.directory(spec.id)));
  const next = { ...current, rewinding: false, prepared: false, attempt: current.attempt + 1 };
  if (end.end === 'ok' && (await isRewound(place, end.result.logTail))) {
    const missing = await missingWal(deps, place, slot);
    if (missing === null) return { outcome: 'rewound', state: { ...current, rewinding: false } };
    const why = `${place.plan.from.name} has recycled ${missing}, which the rewound data need`;
    return { outcome: 'not-possible', why, state: next };
  }
  if (end.end === 'lost' && !place.inPlace && current.attempt < TRIES) {
    // The kept data are whole: a rewind that was cut short is made again on a new copy of them.
    const again = { ...current, rewinding: false, prepared: false, attempt: current.attempt + 1 };
    return rewindData(deps, place, await writeState(place, again), owner, slot);
  }
  const why = end.end === 'ok' ? 'pg_rewind left no backup_label' : end.failure.message;
  // Not written yet: the caller writes it together with what happens instead.
  return { outcome: 'not-possible', why: end.end === 'lost' ? `pg_rewind was cut short (${why})` : why, state: next };
}

async function rewindJob(deps: ActivityDeps, place: RebuildPlace, state: RebuildState, owner: Owner): Promise<JobSpec> {
  const { password, ...source } = await sourceAddress(deps, place.environment, place.plan.from.name);
  return {
    id: place.jobId(`rewind-${String(state.attempt)}`),
    argv: [path.join(place.node.binDir, 'pg_rewind'), ...rewindArgs(place.workDir, source)],
    ...(password === null ? {} : { env: { PGPASSWORD: password } }),
    ...runAsOwner(owner),
  };
}

async function isRewound(place: RebuildPlace, log: readonly string[]): Promise<boolean> {
  await requireCluster(place.node.binDir, place.workDir, place.systemIdentifier);
  return log.some((line) => NOTHING_TO_DO.test(line)) || pathExists(path.join(place.workDir, BACKUP_LABEL));
}

/** What a dry run refuses, null when it does not; a cluster that was not shut down in order cannot be tried out, its rewind recovers it first. */
async function tryOut(deps: ActivityDeps, place: RebuildPlace, owner: Owner): Promise<string | null> {
  const dir = (await pathExists(path.join(place.dataDir, 'global'))) ? place.dataDir : place.keptDataDir;
  const facts = await readControlData(place.node.binDir, dir);
  if (facts === null || !CLEAN_STATES.includes(facts.state)) return null;
  const result = await dryRun(deps, {
    ...place,
    id: place.jobId('rewind-dry-run'),
    dir,
    from: place.plan.from.name,
    owner,
  });
  return result.possible ? null : result.said;
}

export type DryRun = {
  environment: string;
  node: { binDir: string };
  id: string;
  dir: string;
  from: string;
  owner: Owner;
};
export type DryRunResult = { possible: boolean; said: string; nothingToDo: boolean; copyBytes: number | null };

/** `pg_rewind --dry-run` on stopped data: it reads the WAL of the target and the file list of the peer, and writes nothing. */
export async function dryRun(deps: ActivityDeps, run: DryRun): Promise<DryRunResult> {
  const { password, ...source } = await sourceAddress(deps, run.environment, run.from);
  const spec: JobSpec = {
    id: run.id,
    argv: [path.join(run.node.binDir, 'pg_rewind'), ...rewindDryRunArgs(run.dir, source)],
    ...(password === null ? {} : { env: { PGPASSWORD: password } }),
    ...runAsOwner(run.owner),
  };
  await deps.jobs.end(spec.id);
  const result = await deps.jobs.run(spec);
  await deps.jobs.forget(spec.id);
  const lines = result.logTail.map((line) => line.replace(/^pg_rewind: /, '').trim());
  const megabytes = lines.map((line) => /need to copy (\d+) MB/.exec(line)?.[1]).find((text) => text !== undefined);
  return {
    possible: result.exitCode === 0,
    said: lines
      .filter((line) => line !== '' && !/^\d+\/\d+ kB/.test(line))
      .slice(-3)
      .join('; '),
    nothingToDo: lines.some((line) => NOTHING_TO_DO.test(line)),
    copyBytes: megabytes === undefined ? null : Number(megabytes) * 1024 * 1024,
  };
}

async function putOldDataIntoWorkDir(
  deps: ActivityDeps,
  place: RebuildPlace,
  state: RebuildState,
  owner: Owner,
): Promise<void> {
  if (place.inPlace) {
    await moveDown(place, place.workDir, owner);
    return;
  }
  const spec: JobSpec = {
    id: place.jobId(`old-data-${String(state.attempt)}`),
    argv: ['cp', ...copyTreeArgs(place.keptDataDir, place.workDir)],
    ...runAsOwner(owner),
  };
  if (!state.prepared) {
    await makeDirectory(place.workDir, owner);
    await emptyDirectory(deps, place, place.workDir, owner);
    await writeState(place, { ...state, prepared: true });
  }
  const { end, ...rest } = await runOnce(deps, spec, await copyProgress(place.keptDataDir, place.workDir));
  if (end === 'ok') return;
  await writeState(place, { ...state, prepared: false, attempt: state.attempt + 1 });
  throw 'failure' in rest ? rest.failure : stepFailure('CommandFailed', 'the old data could not be copied');
}

/**
 * Before PostgreSQL 16 pg_rewind takes the peer's timeline from its control file, which knows a promotion only after a checkpoint. Without the right to
 * make one it is tried anyway.
 */
async function flushTimeline(deps: ActivityDeps, place: RebuildPlace): Promise<void> {
  const facts = await readControlData(place.node.binDir, place.workDir);
  if (facts === null || facts.postgresMajor >= 16) return;
  try {
    await connectNode(deps, place.environment, place.plan.from.name, { statementTimeoutMs: 120_000 }, (client) =>
      client.query('checkpoint'),
    );
  } catch (error) {
    if (isFailureOf(error, 'DatabaseUnavailable')) throw error;
    deps.log.warn({ node: place.plan.from.name, why: String(error) }, 'no checkpoint before the rewind');
  }
}
