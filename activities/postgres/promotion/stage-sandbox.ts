/**
 * The data of a sandbox in a room that can be moved (a dataset, a subvolume): copied as a job, sharing blocks where the file system can, compared by pg_control,
 * flushed. Only then does the sandbox give up its own: `<data>.copied` stays until the promotion is finished. Killed anywhere, the next attempt goes on.
 */
import path from 'node:path';

import type { SwapInInput } from '../../../shared/contracts/promotion.js';
import { jobIdFor } from '../../../shared/ids.js';
import { canonicalJson } from '../../../shared/canonical-json.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { describeFailure, runProgram } from '../../lib/exec.js';
import { runJobOrFail } from '../../lib/exec-job.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import type { SnapshotProvider } from '../../lib/snapshot.js';
import { syncOnlyArgs } from '../commands.js';
import { copyProgress } from '../copy-progress.js';
import { directoryState, ownerOf, pathExists, renameDurably, runAsOwner, type Owner } from '../data-directory.js';
import { copyTreeArgs } from '../rebuild/commands.js';
import type { SandboxPlace } from '../sandbox/place.js';
import { replacementOf, requireCluster, requireStopped, type NodePlace } from './node-place.js';

/** Flushing hundreds of gigabytes to slow disks takes a while. */
const SYNC_TIMEOUT_MS = 3_600_000;

const FAULT_STAGED = 'swap-in:staged';

/** What the sandbox gave up: the room has it. */
function copiedDirOf(sandbox: SandboxPlace): string {
  return `${sandbox.dataDir}.copied`;
}

/** The whole copy of an earlier attempt, null when there is none or it is not whole. */
export async function stagedBefore(place: NodePlace, sandbox: SandboxPlace): Promise<string | null> {
  if (!(await pathExists(copiedDirOf(sandbox)))) return null;
  return (await directoryState(place.cloneDir)) === 'cluster' ? place.cloneDir : null;
}

/** Copies the stopped sandbox and returns where the copy is. Throws CommandFailed or PreconditionFailed. */
export async function stage(
  deps: ActivityDeps,
  input: SwapInInput,
  place: NodePlace,
  sandbox: SandboxPlace,
  mover: SnapshotProvider,
): Promise<string> {
  const room = place.cloneDir;
  const owner = await ownerOf(sandbox.dataDir);
  await mover.makeRoom(room, owner);
  faultPoint('swap-in:room-made');
  const job = {
    id: stageJobId(input.runId),
    argv: ['cp', ...copyTreeArgs(sandbox.dataDir, room)],
    ...runAsOwner(owner),
  };
  // A job that died is started again, over what it left: the source is stopped and does not change.
  await runJobOrFail(deps.jobs, job, { readProgress: await copyProgress(sandbox.dataDir, room) });
  await requireSame(place, sandbox, replacementOf(input.expect));
  await flush(place.node.binDir, room, owner);
  faultPoint(FAULT_STAGED);
  await requireStopped(sandbox.dataDir);
  await renameDurably(sandbox.dataDir, copiedDirOf(sandbox));
  faultPoint('swap-in:given-up');
  return room;
}

/** After an abort: what was being made goes, the sandbox and the kept data are as they were. */
export async function dropStaged(
  deps: ActivityDeps,
  place: NodePlace,
  mover: SnapshotProvider,
  runId: string,
): Promise<void> {
  await deps.jobs.end(stageJobId(runId));
  await mover.removeRoom(place.cloneDir);
}

/** After the room is gone: the sandbox has its own data again, unless they went into production and were set aside there. */
export async function takeBackCopied(place: NodePlace, sandbox: SandboxPlace): Promise<void> {
  if ((await directoryState(place.undoneDataDir)) === 'cluster' || (await pathExists(sandbox.dataDir))) return;
  if (await pathExists(copiedDirOf(sandbox))) await renameDurably(copiedDirOf(sandbox), sandbox.dataDir);
}

/** The sandbox ran with fsync=off: everything goes to disk now, with PostgreSQL's own tool, before it may become production. */
export async function flush(binDir: string, dataDir: string, owner: Owner): Promise<void> {
  const result = await runProgram(path.join(binDir, 'initdb'), syncOnlyArgs(dataDir), {
    ...runAsOwner(owner),
    timeoutMs: SYNC_TIMEOUT_MS,
  });
  if (result.exitCode !== 0) throw stepFailure('CommandFailed', describeFailure(result));
}

function stageJobId(runId: string): string {
  return jobIdFor(runId, 'swap-in-copy');
}

async function requireSame(place: NodePlace, sandbox: SandboxPlace, systemIdentifier: string): Promise<void> {
  const { binDir } = place.node;
  const [from, to] = await Promise.all([
    requireCluster(binDir, sandbox.dataDir, systemIdentifier),
    requireCluster(binDir, place.cloneDir, systemIdentifier),
  ]);
  if (canonicalJson(from) === canonicalJson(to)) return;
  throw stepFailure('PreconditionFailed', `${place.cloneDir} is not a copy of ${sandbox.dataDir}`, {
    hint: 'nothing was changed; `pgr abort` puts the old cluster back',
  });
}
