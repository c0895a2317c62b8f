/** Notes beside kept data: which there are for a node, and whether the data that they speak of are still what they say. */
import { lstat, readdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';

import type { SafetyCopy } from '../../shared/contracts/rebuild.js';
import { keptDataDirFor, shortRunId } from '../../shared/ids.js';
import { NOTHING_TO_KEEP, parseKeptNote, type KeptNote } from '../lib/kept-note.js';
import { stepFailure } from '../lib/failure.js';
import type { NewSafetyCopy } from '../lib/snapshot.js';
import { markOf, type DataControl, type SnapshotNode } from './data-control.js';

/** A copy that is being removed has this name: half of one never looks like a whole one. */
export const REMOVED_SUFFIX = '.removed';
/** Sizes are for people who choose what to prune; beyond this many files nobody waits for one. */
const COUNTED_FILES = 200_000;

function noteFileOf(keptDataDir: string): string {
  return `${keptDataDir}.json`;
}

/** Where the data go that stood in the place when a copy came back. */
export function undoneDirFor(dataDir: string, runId: string): string {
  return `${dataDir}.undone-${shortRunId(runId)}`;
}

async function readNote(control: DataControl, keptDataDir: string): Promise<KeptNote | null> {
  const file = noteFileOf(keptDataDir);
  const text = await control.readTextIfThere(file);
  return text === null ? null : parseKeptNote(text, file);
}

/** Writes the note of a copy that is about to be taken, so that nobody ever finds an unexplained directory. */
export async function writeNote(
  control: DataControl,
  node: SnapshotNode,
  copy: NewSafetyCopy,
  provider: 'directory' | 'btrfs',
): Promise<KeptNote> {
  const facts = await requireCluster(control, node, node.dataDir, copy.systemIdentifier);
  const keptDataDir = keptDataDirFor(node.dataDir, copy.runId);
  const note: KeptNote = {
    api: 1,
    environment: copy.environment,
    node: copy.node,
    run: copy.run,
    runId: copy.runId,
    dataDir: node.dataDir,
    keptDataDir,
    systemIdentifier: copy.systemIdentifier,
    clusterState: facts.state,
    timeline: facts.timeline,
    howToReturn: `pgr undo ${copy.run}; by hand: stop the server, move ${node.dataDir} away, move ${keptDataDir} to ${node.dataDir}, start it`,
    provider,
    host: copy.host,
    createdAt: new Date().toISOString(),
    mark: markOf(facts),
  };
  const owner = await control.ownerOf(node.dataDir);
  await control.replaceFile(noteFileOf(keptDataDir), `${JSON.stringify(note, null, 2)}\n`, owner);
  return note;
}

/** The note of this run's copy: null when there is neither note nor copy. Throws IdentityMismatch when the place is somebody else's. */
export async function requireOwnNote(
  control: DataControl,
  keptDataDir: string,
  runId: string,
): Promise<KeptNote | null> {
  const note = await readNote(control, keptDataDir);
  if (note?.runId === runId) return note;
  if (note === null && !(await control.pathExists(keptDataDir))) return null;
  const whose = note === null ? 'there is no note of ours beside it' : `it is of run ${note.run} (${note.runId})`;
  throw stepFailure('IdentityMismatch', `${keptDataDir} is not a copy of this run: ${whose}`, {
    hint: 'nothing was touched; see what it is, move it away, then `pgr retry`',
  });
}

/** A copy is removed only when its note says that it is the one that was meant. Throws IdentityMismatch. */
export async function requireNoteOf(control: DataControl, keptDataDir: string, copy: SafetyCopy): Promise<void> {
  if ((await readNote(control, keptDataDir))?.runId === copy.runId) return;
  throw stepFailure('IdentityMismatch', `${keptDataDir} is not of run ${copy.run}`);
}

/** Control facts of the cluster in `dir`, which must be of this system. Throws SnapshotFailed or IdentityMismatch. */
export async function requireCluster(control: DataControl, node: SnapshotNode, dir: string, systemIdentifier: string) {
  const facts = await control.readControlData(node.binDir, dir);
  if (facts === null) throw stepFailure('SnapshotFailed', `there is no cluster in ${dir}`);
  if (facts.systemIdentifier === systemIdentifier) return facts;
  throw stepFailure(
    'IdentityMismatch',
    `${dir} holds the cluster with system identifier ${facts.systemIdentifier}, expected ${systemIdentifier}`,
  );
}

/** True when the data directory holds what the copy holds: nothing worked on it since. */
export async function isUntouched(
  control: DataControl,
  node: SnapshotNode,
  mark: string | undefined,
): Promise<boolean> {
  if (mark === undefined) return false;
  const facts = await control.readControlData(node.binDir, node.dataDir);
  return facts !== null && markOf(facts) === mark;
}

/** Every copy with a note beside the data directory, those of promotions included; newest last. A note that nobody can read is shown as unverified. */
export async function listNoted(control: DataControl, node: SnapshotNode): Promise<SafetyCopy[]> {
  const parent = path.dirname(node.dataDir);
  const prefix = `${path.basename(node.dataDir)}.kept-`;
  const names = (await readdir(parent)).filter((name) => name.startsWith(prefix) && name.endsWith('.json'));
  const copies = await Promise.all(names.map((name) => describe(control, node, path.join(parent, name))));
  return copies.filter((copy) => copy !== null).sort((a, b) => Date.parse(a.createdAt) - Date.parse(b.createdAt));
}

async function describe(control: DataControl, node: SnapshotNode, file: string): Promise<SafetyCopy | null> {
  const keptDataDir = file.slice(0, -'.json'.length);
  const note = await readNote(control, keptDataDir).catch(() => null);
  if (note?.clusterState === NOTHING_TO_KEEP) return null;
  const dir = await standingDirectory(control, keptDataDir);
  if (dir === null) return null;
  const facts = await control.readControlData(node.binDir, dir).catch(() => null);
  return {
    ...(note === null ? unexplained(node) : explained(note)),
    name: keptDataDir,
    host: node.host,
    createdAt: note?.createdAt ?? (await stat(file)).mtime.toISOString(),
    bytes: await sizeOf(dir),
    verified: dir === keptDataDir && note !== null && facts?.systemIdentifier === note.systemIdentifier,
  };
}

type Explained = Pick<
  SafetyCopy,
  'provider' | 'environment' | 'node' | 'run' | 'runId' | 'systemIdentifier' | 'timeline'
>;

function explained(note: KeptNote): Explained {
  const { provider = 'directory', environment, node, run, runId, systemIdentifier, timeline } = note;
  return { provider, environment, node, run, runId, systemIdentifier, timeline };
}

/** A note that nobody can read: shown, so that somebody looks. */
function unexplained(node: SnapshotNode): Explained {
  const unknown = { run: 'unknown', runId: 'unknown', systemIdentifier: 'unknown', timeline: 0 };
  return { provider: 'directory', environment: node.environment, node: node.name, ...unknown };
}

/** The kept data, or what is left of them when their removal was cut short. */
async function standingDirectory(control: DataControl, keptDataDir: string): Promise<string | null> {
  for (const dir of [keptDataDir, `${keptDataDir}${REMOVED_SUFFIX}`]) if (await control.pathExists(dir)) return dir;
  return null;
}

async function sizeOf(dir: string): Promise<number | null> {
  try {
    const entries = await readdir(dir, { recursive: true, withFileTypes: true });
    if (entries.length > COUNTED_FILES) return null;
    let bytes = 0;
    for (const entry of entries) {
      if (entry.isFile()) bytes += (await lstat(path.join(entry.parentPath, entry.name))).size;
    }
    return bytes;
  } catch {
    return null; // it is being removed, or not ours to read: a size is not worth a failure
  }
}

export async function removeNote(keptDataDir: string): Promise<void> {
  await rm(noteFileOf(keptDataDir), { force: true });
}
