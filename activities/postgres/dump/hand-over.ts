/**
 * Makes of a verified sandbox a cluster that may become production: stopped cleanly, every file flushed, and from then on no sandbox any more, so that
 * nobody drops it. Production is not touched; the commands that put it there are told.
 * On a retry: each part is found done or is done again.
 */
import path from 'node:path';

import type { DumpStepInput, HandOverResult } from '../../../shared/contracts/dump.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { nodeOnHost, serverNodeFor } from '../../lib/environment-config.js';
import { readBootId } from '../../lib/boot-id.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { requireControlData } from '../control-data.js';
import { directoryState, ownerOf, readTextIfThere, replaceFile } from '../data-directory.js';
import { copySettings, stripRecoverySettings } from '../promotion/production-settings.js';
import { flush } from '../promotion/stage-sandbox.js';
import {
  changeMarker,
  refuseUnlessThrowaway,
  requireMarker,
  tainted,
  writeMarker,
  type SandboxMarker,
} from '../sandbox/marker.js';
import { placeOf, type SandboxPlace } from '../sandbox/place.js';
import { withSettings } from '../settings-files.js';
import { sandboxServers } from '../sandbox/sandbox-server.js';
import { removeSocketDir } from '../sandbox/socket-dir.js';
import { handOverCommands } from './hand-over-commands.js';
import { readRestored } from './restore-dump.js';

const FAULT_STOPPED = 'hand-over:stopped';
const FAULT_FLUSHED = 'hand-over:flushed';
const STOP_TIMEOUT_MS = 600_000;

/** Throws SandboxTainted when somebody wrote into it, PreconditionFailed when it did not end cleanly. */
export function createHandOverSandbox(deps: Pick<ActivityDeps, 'config' | 'runtime'>) {
  return async function handOverSandbox(input: DumpStepInput): Promise<HandOverResult> {
    const place = placeOf(deps.config, input.ref);
    const marker = await requireMarker(place);
    if (marker.state !== 'handed-over') await close(deps, input, place, marker);
    const { state, systemIdentifier } = await requireControlData(place.binDir, place.dataDir);
    const node = serverNodeFor(place.environment, input.ref.host);
    return {
      outcome: marker.state === 'handed-over' ? 'already-handed-over' : 'handed-over',
      dataDir: place.dataDir,
      systemIdentifier,
      clusterState: state,
      commands: handOverCommands(input.ref.environment, place.environment, node, place.dataDir),
    };
  };
}

async function close(
  deps: Pick<ActivityDeps, 'config' | 'runtime'>,
  input: DumpStepInput,
  place: SandboxPlace,
  marker: SandboxMarker,
): Promise<void> {
  refuseUnlessThrowaway(place, marker);
  if (marker.state === 'tainted') throw tainted(place, 'it was opened for writes');
  if (marker.boot !== (await readBootId())) throw tainted(place, 'the host restarted before its data were on disk');
  const servers = sandboxServers(deps, place);
  const { dataDir } = place;
  const { socketDir } = marker;
  await servers.stop({ dataDir, socketDir }, { timeoutMs: STOP_TIMEOUT_MS });
  faultPoint(FAULT_STOPPED);
  const control = await requireControlData(place.binDir, dataDir);
  if (control.state !== 'shut down' || control.systemIdentifier !== marker.systemIdentifier) {
    throw stepFailure(
      'PreconditionFailed',
      `the cluster in ${dataDir} did not end cleanly (state "${control.state}")`,
      {
        hint: '`pgr abort`, then restore again',
      },
    );
  }
  await requireUntouched(input, place, control.nextXid);
  await takeSettings(place, input.ref.host);
  await flush(place.binDir, dataDir, await ownerOf(dataDir));
  faultPoint(FAULT_FLUSHED);
  await writeMarker(place, { ...marker, state: 'handed-over' });
  await removeSocketDir(socketDir);
}

/**
 * Production's configuration as it is now, where it lies on this host, without what makes a server follow or recover; and no archiving, until a person
 * has given the new cluster an archive of its own: its WAL among that of the old cluster would make both useless.
 */
async function takeSettings({ environment, dataDir }: SandboxPlace, host: string): Promise<void> {
  const owner = await ownerOf(dataDir);
  const from = nodeOnHost(environment, host)?.dataDir;
  if (from !== undefined && (await directoryState(from)) === 'cluster') await copySettings(from, dataDir, owner);
  await stripRecoverySettings(dataDir, owner);
  const auto = path.join(dataDir, 'postgresql.auto.conf');
  const text = (await readTextIfThere(auto)) ?? '';
  await replaceFile(auto, withSettings(text, { archive_mode: 'off' }), owner);
}

/** By pg_control, so also of a server that somebody else stopped. */
export async function requireUntouched(
  input: Pick<DumpStepInput, 'plan'>,
  place: SandboxPlace,
  nextXid: string,
): Promise<void> {
  const mark = await readRestored(place, input.plan);
  if (mark !== null && nextXid.split(':').at(-1) === mark.nextXid) return;
  await changeMarker(place, { state: 'tainted' });
  throw tainted(place, 'somebody wrote into it since it was restored');
}
