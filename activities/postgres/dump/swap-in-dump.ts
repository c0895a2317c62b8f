/**
 * Moves the cluster into which a dump was restored into the place of production's data directory. It is a cluster of its own: there is no recovery to
 * end and no WAL of the old history to bring. Killed anywhere, the next attempt decides by what is on disk (swap-in.ts).
 * Needs: the old data kept aside, no server in either place, an archive that holds nothing of another cluster.
 */
import path from 'node:path';

import type { SwapInDumpInput, SwapInResult } from '../../../shared/contracts/promotion.js';
import { readBootId } from '../../lib/boot-id.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { requireControlData } from '../control-data.js';
import { readTextIfThere, replaceFile, type Owner } from '../data-directory.js';
import { replacementOf } from '../promotion/node-place.js';
import { requireOwnArchive } from '../promotion/own-archive.js';
import {
  copySettings,
  requireArchiving,
  requireNoTarget,
  stripRecoverySettings,
} from '../promotion/production-settings.js';
import { swapInWith, type Arriving } from '../promotion/swap-in.js';
import { requireMarker, tainted, writeMarker, type SandboxMarker } from '../sandbox/marker.js';
import type { SandboxPlace } from '../sandbox/place.js';
import { sandboxServers } from '../sandbox/sandbox-server.js';
import { lastValue, withSettings } from '../settings-files.js';
import { requireUntouched } from './hand-over.js';

const STOP_TIMEOUT_MS = 600_000;

/** Throws SandboxTainted when somebody wrote into it, PreconditionFailed when it did not end cleanly or the archive is not its own. */
export function createSwapInDump(deps: ActivityDeps) {
  return async function swapInDump(input: SwapInDumpInput): Promise<SwapInResult> {
    // Also when the data stand in their place already: it is the start after this step that begins to archive.
    await requireOwnArchive(deps, input.environment, replacementOf(input.expect));
    return swapInWith(deps, input, prepareRestored);
  };
}

async function prepareRestored(deps: ActivityDeps, input: SwapInDumpInput, arriving: Arriving): Promise<string[]> {
  const { place, sandbox, kept, owner } = arriving;
  await stopRestored(deps, input, sandbox);
  faultPoint('swap-in:after-stop');
  if (kept !== null) await copySettings(kept, sandbox.dataDir, owner);
  const stripped = await stripRecoverySettings(sandbox.dataDir, owner);
  if (kept === null) await addAddress(sandbox.dataDir, place.node, owner);
  faultPoint('swap-in:after-settings');
  const { servers } = deps.runtime(input.environment, input.node);
  await requireNoTarget(servers, sandbox.dataDir, owner);
  await requireArchiving(servers, sandbox.dataDir, owner, await deps.store(input.environment));
  return stripped;
}

/** Marked as being promoted, stopped cleanly, and nobody wrote into it since it was restored. */
async function stopRestored(deps: ActivityDeps, input: SwapInDumpInput, sandbox: SandboxPlace): Promise<void> {
  const marker = await requireMarker(sandbox);
  if (marker.state === 'tainted') throw tainted(sandbox, 'it was opened for writes');
  await requireOnDisk(sandbox, marker, input.runId);
  if (marker.promotion?.runId !== input.runId || marker.state !== 'promoting') {
    const promotion = { runId: input.runId, replayLsn: '', synced: false };
    await writeMarker(sandbox, { ...marker, state: 'promoting', promotion });
  }
  faultPoint('swap-in:before-stop');
  const { dataDir } = sandbox;
  const { socketDir } = marker;
  await sandboxServers(deps, sandbox).stop({ dataDir, socketDir }, { timeoutMs: STOP_TIMEOUT_MS });
  const control = await requireControlData(sandbox.binDir, dataDir);
  if (control.state !== 'shut down') {
    throw stepFailure(
      'PreconditionFailed',
      `the cluster in ${dataDir} did not end cleanly (state "${control.state}")`,
      {
        hint: '`pgr abort` puts the old cluster back; then restore again',
      },
    );
  }
  await requireUntouched(input, sandbox, control.nextXid);
}

/** A restore runs without fsync: after a restart of the host its files may have holes, unless an attempt of this run flushed them. */
async function requireOnDisk(sandbox: SandboxPlace, marker: SandboxMarker, runId: string): Promise<void> {
  const { promotion } = marker;
  if (promotion?.runId === runId && promotion.synced) return;
  if (marker.boot === (await readBootId())) return;
  throw tainted(sandbox, 'the host restarted before its data were on disk');
}

/** Nothing of production's configuration is left: the address of the config, unless the files in the sandbox say one. */
async function addAddress(
  dataDir: string,
  { address, port }: Pick<Arriving['place']['node'], 'address' | 'port'>,
  owner: Owner,
): Promise<void> {
  const auto = path.join(dataDir, 'postgresql.auto.conf');
  const text = (await readTextIfThere(auto)) ?? '';
  const main = (await readTextIfThere(path.join(dataDir, 'postgresql.conf'))) ?? '';
  await replaceFile(auto, withSettings(text, addressSettings(`${main}\n${text}`, address, port)), owner);
}

/** Where the server listens, as far as `said` (its configuration) does not say it. Pure. */
export function addressSettings(said: string, address: string, port: number): Record<string, string> {
  return {
    ...(lastValue(said, 'listen_addresses') === null ? { listen_addresses: `localhost,${address}` } : {}),
    ...(lastValue(said, 'port') === null ? { port: String(port) } : {}),
  };
}
