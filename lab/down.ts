/** `pgr lab down`: stops what the lab started, and what its recoveries started inside its directory. Nothing else, and nothing by name. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { endJob } from '../activities/jobs/end-job.js';
import { readPostmaster } from '../activities/postgres/postmaster.js';
import { directoryState } from '../activities/postgres/data-directory.js';
import { stopServer } from '../activities/postgres/server.js';
import { stopWriter } from './app-control.js';
import { openLab, withLabLock } from './open.js';
import { NODES, type LabPaths } from './paths.js';
import { leavePool } from './pool.js';
import { pgbouncerSignature } from './pooler.js';
import { findRunning, stopProcess } from './process.js';
import type { LabProgress } from './progress.js';
import { haproxySignature, healthSignature } from './proxy.js';
import { s3Signature } from './s3.js';
import { writeState, type LabProcess, type LabState } from './state.js';
import { temporalSignature } from './temporal.js';
import { WORKER_GRACE_MS, workerSignature } from './worker.js';

const TEMPORAL_GRACE_MS = 20_000;
/**
 * On TERM SeaweedFS waits 15 s for streams between its own parts. Everything was written before it answered its clients, and nobody
 * writes any more, so it is not waited for.
 */
const S3_GRACE_MS = 2_000;
/** They hold nothing: open sessions of a lab that goes down are cut. */
const EXTRA_GRACE_MS = 2_000;
/** A fast stop writes a checkpoint and waits for the archiver and the standby. */
const POSTGRES_STOP_MS = 60_000;

/** Stops the lab and returns what was running. Throws NotFound when there is no lab. */
export async function labDown(dir: string, progress: LabProgress): Promise<{ stopped: string[] }> {
  const { paths, state } = await openLab(dir);
  return withLabLock(paths, progress, async () => ({ stopped: await stopEverything(paths, state, progress) }));
}

/** In the order of who depends on whom: application, worker, jobs, servers, Temporal, S3 (which takes the last WAL). */
export async function stopEverything(
  paths: LabPaths,
  state: LabState | null,
  progress: LabProgress,
): Promise<string[]> {
  const stopped: string[] = [];
  const stop = async (name: string, work: () => Promise<boolean>): Promise<void> => {
    if (!(await work())) return;
    stopped.push(name);
    progress.note(`${name} stopped`);
  };
  await stop('writer', async () => (await stopWriter(paths, 'unchanged')) === 'stopped');
  await stop('worker', () => stopProgram(state?.processes.worker, workerSignature(paths), WORKER_GRACE_MS));
  await endJobs(join(paths.stateDir, 'jobs'));
  for (const [name, signature] of extraSignatures(paths)) {
    await stop(name, () => stopProgram(state?.processes[name], signature, EXTRA_GRACE_MS));
  }
  for (const dataDir of await listDataDirs(paths)) {
    await stop(dataDir.slice(paths.nodesDir.length + 1), () => stopPostgres(dataDir));
  }
  await stop('temporal', () => stopProgram(state?.processes.temporal, temporalSignature(paths), TEMPORAL_GRACE_MS));
  await stop('s3', () => stopProgram(state?.processes.s3, s3Signature(paths), S3_GRACE_MS));
  // After a crash its programs may be all that is left of it.
  if (state?.extras?.includes('zfs') === true) await stop('zfs', () => leavePool(paths));
  if (state !== null) await writeState(paths, { ...state, processes: {} });
  return stopped;
}

/** The pooler before the proxy, the proxy before what it asks. */
function extraSignatures(paths: LabPaths): [LabProcess, string[]][] {
  return [
    ['pgbouncer', pgbouncerSignature(paths)],
    ['haproxy', haproxySignature(paths)],
    ['healthDallas', healthSignature(paths, 'dallas')],
    ['healthChicago', healthSignature(paths, 'chicago')],
  ];
}

async function stopProgram(
  recorded: Parameters<typeof findRunning>[0],
  signature: readonly string[],
  graceMs: number,
): Promise<boolean> {
  const found = await findRunning(recorded, signature);
  return found !== null && (await stopProcess(found, graceMs)) === 'stopped';
}

async function stopPostgres(dataDir: string): Promise<boolean> {
  if ((await readPostmaster(dataDir)).state === 'stopped') return false;
  const { outcome } = await stopServer({ dataDir, mode: 'fast', timeoutMs: POSTGRES_STOP_MS });
  return outcome === 'stopped';
}

/** Transfers that outlive the worker: their source goes away now, and they start again where they were when the run goes on. */
async function endJobs(jobsDir: string): Promise<void> {
  const ids = await readdir(jobsDir).catch(() => []);
  for (const id of ids) await endJob(join(jobsDir, id));
}

/**
 * Every cluster below the nodes: their own data directories first (dallas before chicago: a primary hands its last WAL to its standby
 * while it stops), then kept ones, and sandboxes that a recovery runs.
 */
async function listDataDirs(paths: LabPaths): Promise<string[]> {
  const own = NODES.map((node) => paths.dataDir(node));
  const found: string[] = [];
  for (const node of NODES) {
    const nodeDir = paths.nodeDir(node);
    const candidates = [nodeDir, ...(await subdirectories(join(nodeDir, 'sandboxes')))];
    for (const dir of candidates) found.push(...(await subdirectories(dir)));
  }
  const clusters: string[] = [];
  for (const dir of new Set([...own, ...found])) {
    if ((await directoryState(dir)) === 'cluster') clusters.push(dir);
  }
  return clusters;
}

async function subdirectories(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(dir, entry.name));
}
