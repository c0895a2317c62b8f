/** What must be true before a sandbox may be promoted. Each check refuses with the fact that is wrong; nothing is changed by any of them. */
import { readdir, statfs } from 'node:fs/promises';
import path from 'node:path';

import type { NodeConfig } from '../../../config/schema.js';
import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import { keptDataDirFor } from '../../../shared/ids.js';
import { compareLsn, type Lsn } from '../../../shared/lsn.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import type { SnapshotProvider } from '../../lib/snapshot.js';
import { connectNode } from '../connection.js';
import { directoryState, inSameFileSystem, ownerOf, pathExists } from '../data-directory.js';
import { readPostmaster } from '../postmaster.js';
import { treeBytes } from '../rebuild/tree-bytes.js';
import { requireMarker, tainted } from '../sandbox/marker.js';
import type { SandboxPlace } from '../sandbox/place.js';
import { serversArchive } from '../../lib/archive-duty.js';
import { readArchiveSettings } from './archive-wait.js';
import { archivingProblem, requireArchiving } from './production-settings.js';
import type { ProbedNode } from './probe-nodes.js';
import { readSandboxServer } from './sandbox-server.js';
import { historiesIn, requireKnownTimelines } from './wal-for-promotion.js';

/** The sandbox is ours, of this plan, paused where it was told to stop, and still in recovery. */
export async function requirePromotable(sandbox: SandboxPlace, plan: RecoveryPlan): Promise<void> {
  const marker = await requireMarker(sandbox);
  if (marker.state === 'tainted') throw tainted(sandbox, 'it was opened for writes');
  if (marker.planHash !== plan.hash) {
    throw stepFailure('IdentityMismatch', `the sandbox in ${sandbox.dir} was made for another plan`);
  }
  const server = await readPostmaster(sandbox.dataDir);
  if (marker.state !== 'paused' || server.state !== 'running') {
    throw stepFailure(
      'PreconditionFailed',
      `the sandbox in ${sandbox.dir} is not paused at its target (marker: ${marker.state}, server: ${server.state})`,
      { hint: 'restore again with `pgr pitr`' },
    );
  }
  const state = await readSandboxServer(sandbox, marker);
  if (state.systemIdentifier !== plan.systemIdentifier) {
    throw stepFailure('IdentityMismatch', `the sandbox has system identifier ${state.systemIdentifier}`);
  }
  if (!state.inRecovery || state.replayLsn === null) throw tainted(sandbox, 'it is not in recovery any more');
  if (state.pauseState !== 'paused')
    throw tainted(sandbox, `its replay is ${state.pauseState ?? 'unknown'}, not paused`);
  const wrong = replayProblem(plan, state.replayLsn);
  if (wrong !== null) throw tainted(sandbox, wrong);
}

/** Why replay does not stand where the plan stops, null when it does. Pure. */
export function replayProblem(plan: Pick<RecoveryPlan, 'stop' | 'boundary'>, replayLsn: Lsn): string | null {
  const { kept, dropped } = plan.boundary;
  // Positions of commits are starts of records, the replay position is the end of one.
  if (kept !== null && compareLsn(replayLsn, kept.lsn) <= 0) {
    return `it stopped at ${replayLsn}, before the last commit to keep at ${kept.lsn}`;
  }
  if (dropped !== null && compareLsn(replayLsn, dropped.lsn) > 0) {
    return `it stopped at ${replayLsn}, after the first commit to drop at ${dropped.lsn}`;
  }
  if (plan.stop.kind === 'lsn' && plan.stop.inclusive && compareLsn(replayLsn, plan.stop.lsn) <= 0) {
    return `it stopped at ${replayLsn}, planned was after ${plan.stop.lsn}`;
  }
  return null;
}

/**
 * The data directory can be moved away and the sandbox into its place. Returns warnings: what the swap will cost where the sandbox cannot be moved
 * as it is.
 */
export async function requireFreePlace(
  node: NodeConfig,
  sandbox: SandboxPlace,
  runId: string,
  mover: SnapshotProvider,
): Promise<string[]> {
  const dataDir = path.resolve(node.dataDir);
  await mover.settleMoves();
  const kept = keptDataDirFor(dataDir, runId);
  if (await pathExists(kept)) throw refuse(`${kept} exists already`, 'move it away');
  const [problem] = await mover.moveProblems();
  if (problem !== undefined) throw refuse(problem, 'mend that or change dataDir or snapshot in the config');
  const warnings = (await mover.isMovable(sandbox.dataDir)) ? [] : await copyWarnings(dataDir, sandbox, mover);
  const state = await directoryState(dataDir);
  if (state === 'other') throw refuse(`${dataDir} holds files, but no cluster`, 'see what they are and move them away');
  if (state === 'cluster') await requireOwnWal(dataDir);
  return warnings;
}

/** Copied while production is stopped: free where the file system shares blocks, else it takes its time and its space. */
async function copyWarnings(dataDir: string, sandbox: SandboxPlace, mover: SnapshotProvider): Promise<string[]> {
  const parent = path.dirname(dataDir);
  if (mover.kind === 'directory') {
    throw refuse(
      `${sandbox.dataDir} and ${parent} are different file systems`,
      'set sandbox.dir beside the data directory',
    );
  }
  const place = (await pathExists(dataDir)) ? dataDir : parent;
  if ((await inSameFileSystem(sandbox.dataDir, parent)) && mover.kind === 'btrfs') return [];
  const bytes = await treeBytes(sandbox.dataDir);
  const { bavail, bsize } = await statfs(place);
  const mib = (value: number): string => `${String(Math.ceil(value / 1024 ** 2))} MiB`;
  if (bavail * bsize < bytes) {
    throw stepFailure(
      'SpaceMissing',
      `the recovered data need ${mib(bytes)} in ${mover.kind}, ${mib(bavail * bsize)} are free`,
      {
        hint: 'nothing was touched; free that space (`pgr snapshots prune`), then `pgr retry`',
      },
    );
  }
  return [
    `the recovered data (${mib(bytes)}) are copied from ${sandbox.dir} while production is stopped: it is no ${mover.kind} place of its own`,
  ];
}

/** Tablespaces lie outside of the data directory: a rename would not keep them, and the recovered cluster would write into them. */
async function requireOwnWal(dataDir: string): Promise<void> {
  const spaces = await readdir(path.join(dataDir, 'pg_tblspc'));
  if (spaces.length === 0) return;
  throw refuse(
    `${dataDir} has tablespaces (${spaces.join(', ')})`,
    'they cannot be kept aside by a rename; promote by hand',
  );
}

function refuse(message: string, hint: string): Error {
  return stepFailure('PreconditionFailed', message, { hint: `nothing was touched; ${hint}, then \`pgr retry\`` });
}

/**
 * Production archives now and will afterwards, and the archive knows no timeline that the sandbox does not. Throws ArchiveFailing or
 * PreconditionFailed.
 */
export async function requireProductionArchives(
  deps: ActivityDeps,
  environment: string,
  primary: ProbedNode,
  sandbox: SandboxPlace,
): Promise<void> {
  const { node } = primary;
  const isDuty = await serversArchive(deps, environment);
  if (isDuty && primary.state === 'running') {
    const settings = await connectNode(deps, environment, node.name, {}, readArchiveSettings);
    const problem = archivingProblem(settings);
    if (problem !== null) throw stepFailure('ArchiveFailing', `${node.name} does not archive: ${problem}`);
  }
  // What counts after the swap are its files: a setting given on a command line would not come along.
  const dir = primary.systemIdentifier === null ? sandbox.dataDir : node.dataDir;
  if (isDuty) await requireArchiving(deps.runtime(environment, node.name).servers, dir, await ownerOf(dir));
  const walDirs = [sandbox.walDir, path.join(sandbox.dataDir, 'pg_wal'), path.join(node.dataDir, 'pg_wal')];
  await requireKnownTimelines(await deps.store(environment), await historiesIn(walDirs));
}
