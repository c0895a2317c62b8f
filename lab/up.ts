/**
 * `pgr lab up`: brings the environment up, stage by stage. Every stage looks first whether its goal is reached, so this can be
 * run at any time: after a first bring-up that was killed somewhere, after `down`, after a reboot, in the middle of a recovery.
 */
import path from 'node:path';

import { readFence } from '../activities/lib/fence-file.js';
import { faultPoint } from '../activities/lib/fault-points.js';
import { pathExists } from '../activities/postgres/data-directory.js';
import { readPostmaster } from '../activities/postgres/postmaster.js';
import { startWriter, readWriter, findWriter } from './app-control.js';
import { installArchiveProgram } from './archive-program.js';
import { takeFirstBase } from './bases.js';
import { updateState, type LabContext } from './context.js';
import { readText, replaceText } from './files.js';
import { isLeftToTheRun, type OpenChange } from './nodes-to-leave.js';
import { startNode, type NodeStart } from './nodes.js';
import { contextOf, makeLab, prepareState, withLabLock, type LabOptions } from './open.js';
import { LAB_ENVIRONMENT, NODES, type NodeName } from './paths.js';
import { bringPool } from './pool.js';
import { pgbouncerSignature, startPgbouncer } from './pooler.js';
import { replaceTaken, type PortName } from './ports.js';
import { makePrimary, type MakeResult } from './primary.js';
import { findRunning } from './process.js';
import { haproxySignature, healthSignature, startHaproxy, startHealth } from './proxy.js';
import { labConfigText, s3Endpoint, temporalUi, withAddresses, type LabConfigInput } from './recovery-config.js';
import { s3Signature, startS3 } from './s3.js';
import { createSecrets } from './secrets.js';
import { findServerUser } from './server-user.js';
import { makeStandby } from './standby.js';
import { readOpenChange, startTemporal, temporalSignature } from './temporal.js';
import { startWorker } from './worker.js';
import { writeState, type LabProcess } from './state.js';

/** For tests: the process dies here when armed. */
export const FAULT_LAB_STANDBY_MADE = 'lab-standby-made';
export const FAULT_LAB_WORKER_STARTED = 'lab-worker-started';

/** Brings the lab up and returns its directory without symbolic links. */
export async function labUp(options: LabOptions): Promise<{ dir: string }> {
  const serverUser = await findServerUser();
  const { location, paths } = await makeLab(options, serverUser);
  await withLabLock(paths, options.progress, async () => {
    const state = await options.progress.stage('programs', async () => {
      const value = await prepareState(options, paths, location.shownDir, serverUser);
      await writeState(paths, value);
      return {
        value,
        says: `${value.tools.postgres.version} (${value.tools.postgres.source}), ${value.tools.temporal.source}, ${value.tools.weed.source}`,
      };
    });
    await bringUp(contextOf(options, paths, state));
  });
  return { dir: paths.dir };
}

async function bringUp(context: LabContext): Promise<void> {
  await settlePorts(context);
  await bringDatasets(context);
  await createSecrets(context.paths, context.state.serverUser);
  const archiveWords = await installArchiveProgram({ ...context, serverUser: context.state.serverUser });
  await writeConfig(context);
  await startServices(context, archiveWords);
  const change = await readOpenChange(context.state);
  await startFirstNode(context, change);
  await together([bringStandby(context, archiveWords, change), bringRecovery(context)]);
}

/** Where the data of the nodes lie, when a pool was asked for. */
async function bringDatasets(context: LabContext): Promise<void> {
  if (context.state.extras?.includes('zfs') !== true) return;
  await context.progress.stage('zfs', async () => {
    const { pool, outcome } = await bringPool(context);
    return { value: null, says: `pool ${pool} on ${context.paths.poolFile}, ${outcome}` };
  });
}

/** What works on the primary alone. The application writes before the bases, so that the incremental one has something in it. */
async function bringRecovery(context: LabContext): Promise<void> {
  await bringExtras(context);
  await bringWorker(context);
  await bringWriter(context);
  await bringBase(context, 'full');
  await bringBase(context, 'incremental');
}

/** A port of something that does not run now, and on which a stranger listens, is chosen again. */
async function settlePorts(context: LabContext): Promise<void> {
  const { paths, state } = context;
  const idle: PortName[] = [];
  if ((await findRunning(state.processes.temporal, temporalSignature(paths))) === null) {
    idle.push('temporal', 'temporalUi', 'temporalHttp', 'temporalMetrics');
  }
  if ((await findRunning(state.processes.s3, s3Signature(paths))) === null) {
    idle.push(
      's3',
      's3Grpc',
      'weedMaster',
      'weedMasterGrpc',
      'weedVolume',
      'weedVolumeGrpc',
      'weedFiler',
      'weedFilerGrpc',
    );
  }
  idle.push(...(await idleExtras(context)));
  for (const node of ['dallas', 'chicago'] as const) {
    if ((await readPostmaster(paths.dataDir(node))).state === 'stopped') idle.push(node);
  }
  const ports = await replaceTaken(state.ports, idle);
  if (ports === state.ports) return;
  const moved = idle.filter((name) => ports[name] !== state.ports[name]);
  context.progress.note(`taken by another program, so another port was chosen: ${moved.join(', ')}`);
  await updateState(context, { ports });
}

async function idleExtras({ paths, state }: LabContext): Promise<PortName[]> {
  const { processes } = state;
  const runs = async (name: LabProcess, signature: string[]): Promise<boolean> =>
    (await findRunning(processes[name], signature)) !== null;
  const idle: PortName[] = [];
  if (!(await runs('haproxy', haproxySignature(paths)))) {
    idle.push('haproxyWrite', 'haproxyRead', 'haproxyApi', 'haproxyStats');
  }
  if (!(await runs('pgbouncer', pgbouncerSignature(paths)))) idle.push('pgbouncer');
  if (!(await runs('healthDallas', healthSignature(paths, 'dallas')))) idle.push('healthDallas');
  if (!(await runs('healthChicago', healthSignature(paths, 'chicago')))) idle.push('healthChicago');
  return idle;
}

async function writeConfig({ paths, state, node, distDir }: LabContext): Promise<void> {
  const input: LabConfigInput = {
    paths,
    ports: state.ports,
    binDir: state.tools.postgres.path,
    appProgram: [node, `${distDir}/lab/app.js`],
    runAs: state.serverUser?.name ?? null,
    extras: state.extras ?? [],
  };
  const existing = await readText(paths.config);
  const text = existing === null ? labConfigText(input) : withAddresses(existing, input);
  // Readable for the server's user: wal-push reads it. It holds references, no secrets.
  if (text !== existing) await replaceText(paths.config, text, { mode: 0o644 });
}

/** Side by side; when one fails the others come to their end first, so that nothing goes on behind the error. */
async function together(works: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(works)).find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** Temporal, S3 and the first data directory need nothing of each other. */
async function startServices(context: LabContext, archiveWords: readonly string[]): Promise<void> {
  const { progress, state } = context;
  await together([
    progress.stage('temporal', async () => {
      const pid = await startTemporal(context);
      return { value: pid, says: `${temporalUi(state.ports)} (pid ${pid})` };
    }),
    progress.stage('s3', async () => {
      const pid = await startS3(context);
      return { value: pid, says: `${s3Endpoint(state.ports)} (pid ${pid})` };
    }),
    progress.stage('data', async () => {
      const made = await makePrimary(context, archiveWords);
      return { value: made, says: describeMade(made, 'the order database, about 100 MB') };
    }),
  ]);
}

function describeMade(made: MakeResult, what: string): string {
  if (made === 'made') return what;
  return made === 'gone' ? 'its data directory is away: a recovery has it' : `${what}, already there`;
}

/** Why a node is not started, null when it may be. One that runs is in nobody's way; one that does not may have been stopped on purpose. */
async function whyLeft({ paths }: LabContext, change: OpenChange | null, name: NodeName): Promise<string | null> {
  const dataDir = paths.dataDir(name);
  if ((await readPostmaster(dataDir)).state === 'running') return null;
  const isStandby = await pathExists(path.join(dataDir, 'standby.signal'));
  const fence = await readFence(paths.stateDir, LAB_ENVIRONMENT, name);
  if (!isLeftToTheRun(change, { name, isStandby, isFenced: fence.fenced })) return null;
  if (change !== null || !fence.fenced) return 'left to the run that has stopped it';
  return `fenced by ${fence.marker.run} (${fence.marker.why}): it would accept writes; \`pgr rebuild-standby lab ${name}\``;
}

async function startFirstNode(context: LabContext, change: OpenChange | null): Promise<void> {
  await context.progress.stage('dallas', async () => {
    const left = await whyLeft(context, change, 'dallas');
    if (left !== null) return { value: null, says: left };
    const started = await startNode(context, 'dallas');
    return { value: started, says: describeStart(context, 'dallas', started) };
  });
}

function describeStart(context: LabContext, node: NodeName, { outcome, pid }: NodeStart): string {
  if (outcome === 'no-data') return 'no data directory: a recovery has it, see `pgr runs`';
  return `127.0.0.1:${context.state.ports[node]} (pid ${pid ?? 0})`;
}

async function bringStandby(
  context: LabContext,
  archiveWords: readonly string[],
  change: OpenChange | null,
): Promise<void> {
  await context.progress.stage('chicago', async () => {
    const left = await whyLeft(context, change, 'chicago');
    if (left !== null) return { value: null, says: left };
    await makeStandby(context, archiveWords);
    faultPoint(FAULT_LAB_STANDBY_MADE);
    const started = await startNode(context, 'chicago');
    return { value: started, says: describeStart(context, 'chicago', started) };
  });
}

/** Between the application and the nodes, when they were asked for. */
async function bringExtras(context: LabContext): Promise<void> {
  const { extras = [], ports } = context.state;
  if (extras.includes('haproxy')) {
    await context.progress.stage('haproxy', async () => {
      for (const node of NODES) await startHealth(context, node);
      const pid = await startHaproxy(context);
      return {
        value: pid,
        says: `write VIP 127.0.0.1:${String(ports.haproxyWrite)} (pid ${pid}), pg-health of both nodes`,
      };
    });
  }
  if (extras.includes('pgbouncer')) {
    await context.progress.stage('pgbouncer', async () => {
      const pid = await startPgbouncer(context);
      return { value: pid, says: `127.0.0.1:${String(ports.pgbouncer)} (pid ${pid})` };
    });
  }
}

async function bringWorker(context: LabContext): Promise<void> {
  await context.progress.stage('worker', async () => {
    const { pid, outcome } = await startWorker(context);
    faultPoint(FAULT_LAB_WORKER_STARTED);
    return { value: pid, says: `all roles, ${outcome} (pid ${pid})` };
  });
}

async function bringWriter(context: LabContext): Promise<void> {
  await context.progress.stage('writer', async () => {
    const { wanted } = await readWriter(context.paths);
    if (wanted === 'stopped' && (await findWriter(context.paths)) === null) {
      return { value: null, says: 'stays down: a recovery has stopped it' };
    }
    const { pid } = await startWriter(context.paths, context);
    return { value: pid, says: `about four orders a second (pid ${pid})` };
  });
}

async function bringBase(context: LabContext, kind: 'full' | 'incremental'): Promise<void> {
  if (context.state.bases[kind] !== undefined) return;
  await context.progress.stage(`${kind.slice(0, 4)} base`, async () => {
    await takeFirstBase(context, kind);
    return { value: null, says: `${kind} base in the bucket` };
  });
}
