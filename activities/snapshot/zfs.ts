/**
 * Provider `zfs`: a snapshot of the dataset, named after the run, with user properties that say whose it is and a hold that keeps ZFS from destroying
 * it. The data stay in place, the copy takes milliseconds and only the space of what changes. Every call may be repeated.
 */
import type { SafetyCopy } from '../../shared/contracts/rebuild.js';
import { shortRunId } from '../../shared/ids.js';
import { stepFailure } from '../lib/failure.js';
import { faultPoint } from '../lib/fault-points.js';
import type { NewSafetyCopy, SnapshotProvider } from '../lib/snapshot.js';
import { requireNoProblem } from './btrfs.js';
import { zfsDestroyArgs, zfsHoldArgs, zfsReleaseArgs, zfsSetArgs, zfsSnapshotArgs } from './commands.js';
import { markOf, type DataControl, type SnapshotNode } from './data-control.js';
import { requirePlace } from './directory.js';
import { isUntouched, removeNote, requireCluster, requireNoteOf } from './kept-notes.js';
import { createZfsMover, destroyAt } from './zfs-move.js';
import { datasetOf, ownDatasets, parentOf } from './zfs-names.js';
import { zfsProblems } from './zfs-check.js';
import { lookInside } from './zfs-look.js';
import { createZfs, zfsFailure, type Properties, type Zfs } from './zfs-program.js';
import { finishedBefore, returnByClone } from './zfs-return.js';

const FIELDS = ['environment', 'node', 'host', 'run', 'run-id', 'system-identifier', 'timeline', 'created-at', 'mark'];
const VERIFIED = 'pgr:verified';
const PROPERTIES = [...FIELDS.map((field) => `pgr:${field}`), VERIFIED, 'userrefs', 'used'];

type Context = { node: SnapshotNode; control: DataControl; zfs: Zfs; dataset: string; sudo: boolean };
type Taken = Awaited<ReturnType<SnapshotProvider['take']>>;
type Returned = Awaited<ReturnType<SnapshotProvider['putBack']>>;

/** `removeMoved`: removes data that a promotion moved aside for good; false when they are no dataset. */
export type ZfsProvider = SnapshotProvider & { removeMoved(copy: SafetyCopy): Promise<boolean> };

export function createZfsProvider(
  node: SnapshotNode,
  options: { dataset: string; sudo: boolean },
  control: DataControl,
): ZfsProvider {
  const { dataset, sudo } = options;
  const context = { node, control, zfs: createZfs(options), dataset, sudo };
  return {
    ...createZfsMover(context),
    kind: 'zfs',
    nameFor: (runId) => nameFor(dataset, runId),
    check: async () => ({
      problems: await zfsProblems(context.zfs, dataset, node),
      limits: [`when it is put back, the data that stood there stay as a dataset beside ${dataset}`],
    }),
    list: () => list(context),
    take: (copy) => take(context, copy),
    putBack: (copy) => putBack(context, copy),
    remove: (copy) => remove(context, copy),
    removeMoved: (copy) => removeMoved(context, copy),
  };
}

function nameFor(dataset: string, runId: string): string {
  return `${dataset}@pgr-${shortRunId(runId)}`;
}

/** Properties of the snapshot of a run, null when there is none. Throws IdentityMismatch when the name is somebody else's. */
async function own(zfs: Zfs, name: string, runId: string): Promise<Properties | null> {
  const facts = await zfs.get(name, PROPERTIES);
  if (facts === null || facts.get('pgr:run-id')?.value === runId) return facts;
  const whose = facts.get('pgr:run')?.value ?? 'somebody else (it has no properties of ours)';
  throw stepFailure('IdentityMismatch', `snapshot ${name} is not of this run: it is of ${whose}`, {
    hint: 'nothing was touched; see what it is, rename it, then `pgr retry`',
  });
}

async function list({ zfs, dataset }: Context): Promise<SafetyCopy[]> {
  // Also those of data that a promotion moved aside: their snapshots went with them.
  const all = await zfs.list('snapshot', parentOf(dataset));
  const own = new Set(ownDatasets(dataset, all.map(datasetOf)));
  const names = all.filter((name) => own.has(datasetOf(name)) && name.includes('@pgr-'));
  const copies = [...(await zfs.getAll(names, PROPERTIES))].map(([name, facts]) => describe(name, facts));
  return copies.filter((copy) => copy !== null).sort((a, b) => Date.parse(a.createdAt) - Date.parse(b.createdAt));
}

async function take(context: Context, copy: NewSafetyCopy): Promise<Taken> {
  const { zfs, dataset, node, control } = context;
  const name = nameFor(dataset, copy.runId);
  const before = await own(zfs, name, copy.runId);
  if (before === null) {
    requireNoProblem(await zfsProblems(zfs, dataset, node));
    await takeNew(zfs, name, node, control, copy);
    faultPoint('snapshot:taken');
  }
  await hold(zfs, name);
  faultPoint('snapshot:held');
  if ((await own(zfs, name, copy.runId))?.get(VERIFIED)?.value !== 'yes') {
    await lookInside(zfs, { dataset, snapshot: name, node, runId: copy.runId }, (dir) =>
      requireCluster(control, node, dir, copy.systemIdentifier),
    );
    await zfs.change(zfsSetArgs(VERIFIED, 'yes', name));
  }
  const after = await own(zfs, name, copy.runId);
  const taken = after === null ? null : describe(name, after);
  if (taken?.verified !== true) throw stepFailure('SnapshotFailed', `snapshot ${name} is not held and verified`);
  return { outcome: before === null ? 'taken' : 'already-taken', copy: taken, leaves: 'data-in-place' };
}

async function putBack(context: Context, copy: SafetyCopy): Promise<Returned> {
  const { zfs, dataset, node, control } = context;
  const name = requireName(copy, nameFor(dataset, copy.runId));
  const facts = await own(zfs, name, copy.runId);
  const finished = await finishedBefore(context, copy);
  if (finished !== null) return finished;
  await control.requireStopped(node.dataDir);
  if (facts !== null && (await isUntouched(control, node, facts.get('pgr:mark')?.value))) {
    return { outcome: 'already-there', setAside: null };
  }
  return returnByClone(context, copy, facts !== null);
}

async function remove({ zfs, dataset }: Context, copy: SafetyCopy): Promise<void> {
  const [moved] = ownDatasets(dataset, [datasetOf(copy.name)]);
  const name = requireName(copy, nameFor(moved ?? dataset, copy.runId));
  if ((await own(zfs, name, copy.runId)) === null) return;
  await zfs.run(zfsReleaseArgs(name));
  faultPoint('snapshot:removing');
  const result = await zfs.change(zfsDestroyArgs(name)).catch((error: unknown) => error);
  if ((await own(zfs, name, copy.runId)) === null) return;
  await hold(zfs, name);
  const text = result instanceof Error ? result.message : '';
  // ZFS proposes `-R` here, which would take production along where that is the clone.
  if (/dependent clones/.test(text)) {
    const clones = text.split('|').map((part) => part.trim().split(' ')[0] ?? '');
    const names = clones.filter((word) => word.startsWith(`${parentOf(dataset)}/`) && !word.includes('@')).join(', ');
    throw stepFailure('SnapshotFailed', `${name} cannot be removed: ${names} was made from it and shares its blocks`, {
      hint: 'it stays, held. Data that an undo set aside (…-undone-…) go by `zfs destroy` when nobody needs them; then `pgr retry`, or `pgr abort`',
    });
  }
  throw result instanceof Error ? result : stepFailure('SnapshotFailed', `snapshot ${name} is still there`);
}

async function removeMoved({ zfs, dataset, node, control, sudo }: Context, copy: SafetyCopy): Promise<boolean> {
  const kept = requirePlace(copy, node.dataDir);
  await requireNoteOf(control, kept, copy);
  const result = await destroyAt({ zfs, dataset, node, control, sudo }, kept);
  if (result === 'none' && (await control.pathExists(kept))) return false;
  faultPoint('snapshot:removing');
  await removeNote(kept);
  return true;
}

async function takeNew(
  zfs: Zfs,
  name: string,
  node: SnapshotNode,
  control: DataControl,
  copy: NewSafetyCopy,
): Promise<void> {
  await control.requireStopped(node.dataDir);
  const facts = await requireCluster(control, node, node.dataDir, copy.systemIdentifier);
  const values: Record<string, string> = {
    environment: copy.environment,
    node: copy.node,
    host: copy.host,
    run: copy.run,
    'run-id': copy.runId,
    'system-identifier': copy.systemIdentifier,
    timeline: String(facts.timeline),
    'created-at': new Date().toISOString(),
    mark: markOf(facts),
  };
  const properties = Object.fromEntries(Object.entries(values).map(([field, value]) => [`pgr:${field}`, value]));
  await zfs.change(zfsSnapshotArgs(name, properties));
}

/** Holds the snapshot; what counts is that ZFS says it is held, not how the call ended (a second hold of one tag is refused). */
async function hold(zfs: Zfs, name: string): Promise<void> {
  if (await isHeld(zfs, name)) return;
  const result = await zfs.run(zfsHoldArgs(name));
  if (!(await isHeld(zfs, name))) throw zfsFailure(result);
}

async function isHeld(zfs: Zfs, name: string): Promise<boolean> {
  return Number((await zfs.get(name, ['userrefs']))?.get('userrefs')?.value ?? 0) > 0;
}

/** Null for a snapshot that is not ours. */
function describe(name: string, facts: Properties): SafetyCopy | null {
  const value = (field: string): string => facts.get(`pgr:${field}`)?.value ?? '';
  if (value('run-id') === '') return null;
  const held = Number(facts.get('userrefs')?.value ?? 0) > 0;
  return {
    provider: 'zfs',
    name,
    environment: value('environment'),
    node: value('node'),
    host: value('host'),
    run: value('run'),
    runId: value('run-id'),
    createdAt: value('created-at'),
    systemIdentifier: value('system-identifier'),
    timeline: Number(value('timeline')),
    bytes: facts.has('used') ? Number(facts.get('used')?.value) : null,
    verified: held && facts.get(VERIFIED)?.value === 'yes',
  };
}

function requireName(copy: SafetyCopy, expected: string): string {
  if (copy.name === expected) return copy.name;
  throw stepFailure(
    'IdentityMismatch',
    `${copy.name} is not the snapshot of run ${copy.run} on ${expected.replace(/@.*$/, '')}`,
    {
      hint: 'it may belong to data that a promotion moved aside: `zfs list -t snapshot`',
    },
  );
}
