/**
 * Provider `directory`: the data directory is renamed aside, which moves no data and works everywhere. The place is empty afterwards, so a copy
 * needs the space of a second cluster. Every call may be repeated; what is on disk says how far an earlier one came.
 */
import { rm, rmdir } from 'node:fs/promises';

import type { SafetyCopy } from '../../shared/contracts/rebuild.js';
import { keptDataDirFor } from '../../shared/ids.js';
import { stepFailure } from '../lib/failure.js';
import { faultPoint } from '../lib/fault-points.js';
import { whileHeartbeating } from '../lib/heartbeat-while.js';
import type { NewSafetyCopy, SnapshotProvider } from '../lib/snapshot.js';
import type { DataControl, SnapshotNode } from './data-control.js';
import {
  listNoted,
  REMOVED_SUFFIX,
  removeNote,
  requireCluster,
  requireNoteOf,
  requireOwnNote,
  undoneDirFor,
  writeNote,
} from './kept-notes.js';
import { renameProblems } from './place-checks.js';
import { createRenamer } from './rooms.js';

type Taken = Awaited<ReturnType<SnapshotProvider['take']>>;
type Returned = Awaited<ReturnType<SnapshotProvider['putBack']>>;

export function createDirectoryProvider(node: SnapshotNode, control: DataControl): SnapshotProvider {
  return {
    ...createRenamer(node.dataDir, control),
    kind: 'directory',
    nameFor: (runId) => keptDataDirFor(node.dataDir, runId),
    list: () => list(node, control),
    check: async () => ({ problems: await renameProblems(node.dataDir), limits: [] }),
    take: (copy) => take(node, control, copy),
    putBack: (copy) => putBack(node, control, copy),
    remove: (copy) => remove(node, control, copy),
  };
}

async function list(node: SnapshotNode, control: DataControl): Promise<SafetyCopy[]> {
  return (await listNoted(control, node)).filter((copy) => copy.provider === 'directory');
}

async function take(node: SnapshotNode, control: DataControl, copy: NewSafetyCopy): Promise<Taken> {
  const { dataDir } = node;
  const kept = keptDataDirFor(dataDir, copy.runId);
  await requireOwnNote(control, kept, copy.runId);
  const already = await control.pathExists(kept);
  if (!already) {
    await control.requireStopped(dataDir);
    await writeNote(control, node, copy, 'directory');
    faultPoint('snapshot:noted');
    await control.renameDurably(dataDir, kept);
    faultPoint('snapshot:taken');
  }
  await control.requireStopped(kept);
  await requireCluster(control, node, kept, copy.systemIdentifier);
  const listed = (await list(node, control)).find((candidate) => candidate.name === kept);
  if (listed === undefined) throw stepFailure('SafetyCopyMissing', `the kept data ${kept} are gone`);
  return { outcome: already ? 'already-taken' : 'taken', copy: listed, leaves: 'empty-place' };
}

async function putBack(node: SnapshotNode, control: DataControl, copy: SafetyCopy): Promise<Returned> {
  const { dataDir } = node;
  const kept = requirePlace(copy, dataDir);
  const undone = undoneDirFor(dataDir, copy.runId);
  const already = !(await control.pathExists(kept));
  if (!already) {
    await requireOwnNote(control, kept, copy.runId);
    await control.requireStopped(kept);
    await control.requireStopped(dataDir);
    await requireCluster(control, node, kept, copy.systemIdentifier);
    await clearPlace(control, dataDir, undone);
    faultPoint('snapshot:set-aside');
    await control.renameDurably(kept, dataDir);
    faultPoint('snapshot:returned');
  }
  await requireCluster(control, node, dataDir, copy.systemIdentifier);
  await removeNote(kept);
  const setAside = (await control.pathExists(undone)) ? undone : null;
  return { outcome: already ? 'already-there' : 'returned', setAside };
}

async function remove(node: SnapshotNode, control: DataControl, copy: SafetyCopy): Promise<void> {
  const kept = requirePlace(copy, node.dataDir);
  await requireNoteOf(control, kept, copy);
  const removed = `${kept}${REMOVED_SUFFIX}`;
  if (await control.pathExists(kept)) {
    await control.requireStopped(kept);
    await control.renameDurably(kept, removed);
  }
  faultPoint('snapshot:removing');
  await whileHeartbeating(() => rm(removed, { recursive: true, force: true, maxRetries: 3 }));
  await removeNote(kept);
}

/** A copy of this provider lies beside the data directory; any other path is refused, whoever asks. */
export function requirePlace(copy: SafetyCopy, dataDir: string): string {
  if (copy.name === keptDataDirFor(dataDir, copy.runId)) return copy.name;
  throw stepFailure('IdentityMismatch', `${copy.name} is not the place of a copy of run ${copy.run}`);
}

/** Makes room for the copy that comes back: data are set aside, an empty directory goes. */
export async function clearPlace(control: DataControl, dataDir: string, undone: string): Promise<void> {
  const state = await control.directoryState(dataDir);
  if (state === 'missing') return;
  if (state === 'empty') await rmdir(dataDir);
  else await control.renameDurably(dataDir, undone);
}
