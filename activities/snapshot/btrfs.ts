/**
 * Provider `btrfs`: a read-only snapshot of the subvolume that the data directory is, beside it. The data stay in place, and the copy takes only
 * the space of what changes. Needs root, or `sudo: true`. Every call may be repeated.
 */
import { stat, statfs } from 'node:fs/promises';

import type { SafetyCopy } from '../../shared/contracts/rebuild.js';
import { keptDataDirFor } from '../../shared/ids.js';
import { describeFailure, runProgram, type ProgramResult, type RunAs } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import { faultPoint } from '../lib/fault-points.js';
import type { NewSafetyCopy, SnapshotProvider } from '../lib/snapshot.js';
import { asConfigured, btrfsCreateArgs, btrfsDeleteArgs, btrfsListBelowArgs, btrfsSnapshotArgs } from './commands.js';
import type { DataControl, SnapshotNode } from './data-control.js';
import { clearPlace, requirePlace } from './directory.js';
import {
  isUntouched,
  listNoted,
  removeNote,
  requireCluster,
  requireNoteOf,
  requireOwnNote,
  undoneDirFor,
  writeNote,
} from './kept-notes.js';
import { renameProblems } from './place-checks.js';
import { createRenamer, giveRoom, requireRoom } from './rooms.js';

/** statfs(2): BTRFS_SUPER_MAGIC; the root of every subvolume has inode 256 (BTRFS_FIRST_FREE_OBJECTID). */
const BTRFS_MAGIC = 0x9123683e;
const SUBVOLUME_INODE = 256;
/** Deleting only unlinks; the space comes back in the background. */
const TIMEOUT_MS = 120_000;

type Btrfs = (args: readonly string[]) => Promise<ProgramResult>;
type Context = { node: SnapshotNode; control: DataControl; btrfs: Btrfs; sudo: boolean };
type Taken = Awaited<ReturnType<SnapshotProvider['take']>>;
type Returned = Awaited<ReturnType<SnapshotProvider['putBack']>>;

export function createBtrfsProvider(
  node: SnapshotNode,
  options: { sudo: boolean },
  control: DataControl,
): SnapshotProvider {
  const btrfs: Btrfs = (args) => {
    const [program, argv] = asConfigured('btrfs', args, options.sudo);
    return runProgram(program, argv, { timeoutMs: TIMEOUT_MS });
  };
  const context = { node, control, btrfs, sudo: options.sudo };
  return {
    ...createRenamer(node.dataDir, control),
    moveProblems: () => linkProblems(node.dataDir),
    isMovable: isSubvolume,
    makeRoom: (place, owner) => makeRoom(context, place, owner),
    kind: 'btrfs',
    nameFor: (runId) => keptDataDirFor(node.dataDir, runId),
    list: () => list(context),
    check: async () => ({ problems: await btrfsProblems(node.dataDir, btrfs), limits: [] }),
    take: (copy) => take(context, copy),
    putBack: (copy) => putBack(context, copy),
    remove: (copy) => remove(context, copy),
  };
}

async function list({ node, control }: Context): Promise<SafetyCopy[]> {
  return (await listNoted(control, node)).filter((copy) => copy.provider === 'btrfs');
}

async function take(context: Context, copy: NewSafetyCopy): Promise<Taken> {
  const { node, control, btrfs } = context;
  const kept = keptDataDirFor(node.dataDir, copy.runId);
  await requireOwnNote(control, kept, copy.runId);
  const already = await control.pathExists(kept);
  if (!already) {
    await control.requireStopped(node.dataDir);
    requireNoProblem(await btrfsProblems(node.dataDir, btrfs));
    await writeNote(control, node, copy, 'btrfs');
    faultPoint('snapshot:noted');
    await makeSubvolume(btrfs, node.dataDir, kept, 'read-only');
    faultPoint('snapshot:taken');
  }
  await requireCluster(control, node, kept, copy.systemIdentifier);
  const listed = (await list(context)).find((candidate) => candidate.name === kept);
  if (listed?.verified !== true) {
    throw stepFailure('SnapshotFailed', `the snapshot ${kept} is not a whole copy of the cluster`);
  }
  return { outcome: already ? 'already-taken' : 'taken', copy: listed, leaves: 'data-in-place' };
}

async function putBack({ node, control, btrfs }: Context, copy: SafetyCopy): Promise<Returned> {
  const { dataDir } = node;
  const kept = requirePlace(copy, dataDir);
  const undone = undoneDirFor(dataDir, copy.runId);
  const note = await requireOwnNote(control, kept, copy.runId);
  if (note === null) throw stepFailure('SafetyCopyMissing', `there is no snapshot ${kept}`);
  await control.requireStopped(dataDir);
  const already = await isUntouched(control, node, note.mark);
  if (!already) {
    await requireCluster(control, node, kept, copy.systemIdentifier);
    await clearPlace(control, dataDir, undone);
    faultPoint('snapshot:set-aside');
    await makeSubvolume(btrfs, kept, dataDir, 'writable');
    faultPoint('snapshot:returned');
    await requireCluster(control, node, dataDir, copy.systemIdentifier);
  }
  const setAside = (await control.pathExists(undone)) ? undone : null;
  return { outcome: already ? 'already-there' : 'returned', setAside };
}

async function remove({ node, control, btrfs }: Context, copy: SafetyCopy): Promise<void> {
  const kept = requirePlace(copy, node.dataDir);
  await requireNoteOf(control, kept, copy);
  if (await control.pathExists(kept)) {
    await control.requireStopped(kept);
    const result = await btrfs(btrfsDeleteArgs(kept));
    if (await control.pathExists(kept)) throw stepFailure('SnapshotFailed', describeFailure(result));
  }
  faultPoint('snapshot:removing');
  await removeNote(kept);
}

async function makeSubvolume(btrfs: Btrfs, from: string, to: string, access: 'read-only' | 'writable'): Promise<void> {
  const result = await btrfs(btrfsSnapshotArgs(from, to, access));
  if (result.exitCode === 0 && (await isSubvolume(to))) return;
  throw stepFailure('SnapshotFailed', describeFailure(result));
}

async function btrfsProblems(dataDir: string, btrfs: Btrfs): Promise<string[]> {
  if (!(await isSubvolume(dataDir))) {
    return [`${dataDir} is not a btrfs subvolume: make it one, or use snapshot kind directory`];
  }
  const links = await linkProblems(dataDir);
  try {
    const below = await btrfs(btrfsListBelowArgs(dataDir));
    if (below.exitCode !== 0) return [...links, describeFailure(below)];
    if (below.stdout.trim() === '') return links;
    return [...links, `there are subvolumes below ${dataDir}, which a snapshot leaves out: ${below.stdout.trim()}`];
  } catch (error) {
    return [...links, error instanceof Error ? error.message : String(error)];
  }
}

/** A subvolume has a device number of its own; only one that is mounted by itself cannot be renamed, and that shows when it is. */
async function linkProblems(dataDir: string): Promise<string[]> {
  return (await renameProblems(dataDir)).filter((problem) => problem.includes('symbolic link'));
}

/** Data that are made here become a subvolume: a snapshot of them is possible afterwards. */
async function makeRoom({ node, btrfs, sudo }: Context, place: string, owner: RunAs): Promise<void> {
  requireRoom(node.dataDir, place);
  if (!(await isSubvolume(place))) {
    const result = await btrfs(btrfsCreateArgs(place));
    if (!(await isSubvolume(place))) throw stepFailure('SnapshotFailed', describeFailure(result));
  }
  await giveRoom(place, owner, sudo);
}

async function isSubvolume(dir: string): Promise<boolean> {
  try {
    const [facts, system] = await Promise.all([stat(dir), statfs(dir)]);
    return facts.isDirectory() && facts.ino === SUBVOLUME_INODE && system.type === BTRFS_MAGIC;
  } catch {
    return false;
  }
}

/** Throws SnapshotFailed with everything that keeps a snapshot from being taken. */
export function requireNoProblem(problems: readonly string[]): void {
  if (problems.length > 0) throw stepFailure('SnapshotFailed', problems.join('; '));
}
