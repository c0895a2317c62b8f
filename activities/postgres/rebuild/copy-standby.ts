/**
 * Makes the new data of the standby and puts them into their place. Needs: the server stopped, the safety copy verified, the peer up. The new data are
 * made in a directory of their own; nothing can be started from the data directory until they are whole. The long parts are jobs, which outlive a killed
 * worker; the next attempt goes on from the state file. A failure leaves the safety copy as it is.
 */
import { rmdir } from 'node:fs/promises';

import type { CopyStandbyResult, RebuildStepInput } from '../../../shared/contracts/rebuild.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { directoryState, pathExists, type Owner } from '../data-directory.js';
import { requireCluster, requireStopped } from '../promotion/node-place.js';
import { makeSlot } from '../standby/slot.js';
import { settleStandby, slotNameFor } from '../standby/standby-settings.js';
import { makeBase } from './make-base.js';
import { moveDown, moveUp, renameIn } from './move-data.js';
import { refusePrimary, requirePeer } from './peer.js';
import { ownerOfData, rebuildPlace, requireServerStopped, type RebuildPlace } from './rebuild-place.js';
import { freshState, readState, writeState, type RebuildState } from './rebuild-state.js';
import { rewindData } from './rewind.js';
import { saveSettings, writeFollowing } from './settings.js';
import { requireSafetyCopy } from './take-safety-copy.js';
import { treeBytes } from './tree-bytes.js';
import { emptyDirectory } from './work-jobs.js';

export function createCopyStandby(deps: ActivityDeps) {
  return async function copyStandby(input: RebuildStepInput): Promise<CopyStandbyResult> {
    const startedAt = Date.now();
    const place = rebuildPlace(deps, input);
    const before = await readState(place);
    if (before?.stage === 'done' || before?.stage === 'streaming') {
      await requireCluster(place.node.binDir, place.dataDir, place.systemIdentifier);
      return { outcome: 'already-copied', method: before.method, bytes: before.bytes, seconds: 0 };
    }
    if (before?.stage === 'returning' || before?.stage === 'returned') {
      throw stepFailure('PreconditionFailed', `the old data of ${place.node.name} were put back: start a new rebuild`);
    }
    const { from, node } = input.plan;
    const { environment } = input;
    await refusePrimary(deps, environment, node.name);
    await requireServerStopped(place);
    await requireSafetyCopy(place);
    const { systemIdentifier } = place;
    await requirePeer(deps, { environment, node: node.name, from: from.name, systemIdentifier });
    const owner = await ownerOfData(place);
    const ready = await makeReady(deps, place, before ?? (await writeState(place, freshState(place))), owner);
    const done = await moveIn(deps, place, ready, owner);
    await requireCluster(place.node.binDir, place.dataDir, systemIdentifier);
    const seconds = (Date.now() - startedAt) / 1000;
    return { outcome: 'copied', method: done.method, bytes: done.bytes, seconds };
  };
}

/** New data, whole and with the node's own configuration, in the work directory. */
async function makeReady(
  deps: ActivityDeps,
  place: RebuildPlace,
  state: RebuildState,
  owner: Owner,
): Promise<RebuildState> {
  if (state.stage !== 'preparing') return state;
  const settings = await saveSettings(place);
  const slot = await slotNameFor(place.node, settings);
  await makeSlot(deps, place.environment, place.plan.from.name, slot);
  const made = await makeData(deps, place, state, slot, owner);
  faultPoint('rebuild:copied');
  const bytes = await treeBytes(place.workDir);
  if (made.method === 'rewind') await writeFollowing(deps, place, slot, owner);
  const { servers } = deps.runtime(place.environment, place.node.name);
  await settleStandby(servers, place.node, place.workDir, settings, owner);
  return writeState(place, { ...made, stage: 'ready', bytes });
}

async function makeData(
  deps: ActivityDeps,
  place: RebuildPlace,
  state: RebuildState,
  slot: string,
  owner: Owner,
): Promise<RebuildState> {
  if (state.method === 'basebackup') return makeBase(deps, place, state, slot, owner);
  const end = await rewindData(deps, place, state, owner, slot);
  if (end.outcome === 'rewound') return end.state;
  if (place.plan.fallback === undefined) {
    throw stepFailure('CommandFailed', `pg_rewind is not possible: ${end.why}`, {
      hint: `the old data are whole in ${place.plan.safetyCopy.name}: \`pgr abort\` puts them back; a rebuild with method basebackup copies everything`,
    });
  }
  deps.log.warn({ node: place.node.name, why: end.why }, 'no rewind, copying everything');
  const notes = [...end.state.notes, `no rewind: ${end.why}`];
  const full: RebuildState = { ...end.state, method: 'basebackup', rewinding: false, prepared: false, notes };
  return makeBase(deps, place, await writeState(place, full), slot, owner);
}

async function moveIn(
  deps: ActivityDeps,
  place: RebuildPlace,
  state: RebuildState,
  owner: Owner,
): Promise<RebuildState> {
  // Asked again: whatever happened during the copy, nothing of the old data goes before the safety copy is seen.
  await requireSafetyCopy(place);
  await requireServerStopped(place);
  if (place.inPlace) await swapInPlace(deps, place, state, owner);
  else await renameIn(place);
  faultPoint('rebuild:renamed');
  return writeState(place, { ...state, stage: 'done' });
}

async function swapInPlace(deps: ActivityDeps, place: RebuildPlace, state: RebuildState, owner: Owner): Promise<void> {
  let { stage } = state;
  if (stage === 'ready') ({ stage } = await writeState(place, { ...state, stage: 'moving' }));
  if (stage === 'moving') {
    await requireStopped(place.workDir);
    if ((await directoryState(place.workDir)) !== 'cluster') {
      throw stepFailure('PreconditionFailed', `there is no cluster in ${place.workDir}: nothing was moved`);
    }
    await moveDown(place, place.oldDir, owner);
    faultPoint('rebuild:moved-out');
    await writeState(place, { ...state, stage: 'moved' });
  }
  await moveUp(place);
  await emptyDirectory(deps, place, place.oldDir, owner);
  if (await pathExists(place.oldDir)) await rmdir(place.oldDir);
}
