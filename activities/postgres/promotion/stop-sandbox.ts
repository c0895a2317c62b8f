/** The clean stop of a sandbox that is going to be promoted. */
import type { SwapInInput } from '../../../shared/contracts/promotion.js';
import { readBootId } from '../../lib/boot-id.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import type { ControlData } from '../control-data.js';
import { requireMarker, writeMarker, type SandboxMarker } from '../sandbox/marker.js';
import type { SandboxPlace } from '../sandbox/place.js';
import { sandboxServers, type SandboxDeps } from '../sandbox/sandbox-server.js';
import { requireCluster, type NodePlace } from './node-place.js';
import { readSandboxServer } from './sandbox-server.js';

const FAULT_PROMOTING_BEFORE_STOP = 'swap-in:before-stop';

const STOP_TIMEOUT_MS = 600_000;
const STOPPED_IN_RECOVERY = 'shut down in recovery';

/**
 * Marks the sandbox as being promoted (with the boot, and where replay stands), stops it, and proves that it ended cleanly and still in
 * recovery. Throws SandboxTainted when it was opened for writes, PreconditionFailed when it did not end cleanly or the machine was
 * rebooted before its data reached the disk.
 */
export async function stopSandbox(
  deps: SandboxDeps,
  place: NodePlace,
  sandbox: SandboxPlace,
  input: SwapInInput,
): Promise<ControlData> {
  const marker = await requireMarker(sandbox);
  if (marker.state === 'tainted') throw stepFailure('SandboxTainted', `${sandbox.dir} was opened for writes`);
  const servers = sandboxServers(deps, sandbox);
  const { dataDir } = sandbox;
  const { socketDir } = marker;
  const server = await servers.read({ dataDir, socketDir });
  if (server.state === 'running') {
    await requireSameBoot(marker, sandbox);
    const replayLsn = await readReplayLsn(sandbox, marker);
    await writeMarker(sandbox, {
      ...marker,
      state: 'promoting',
      promotion: { runId: input.runId, replayLsn, synced: false },
    });
    faultPoint(FAULT_PROMOTING_BEFORE_STOP);
  } else {
    await requireStoppedByUs(marker, sandbox);
  }
  await servers.stop({ dataDir, socketDir }, { timeoutMs: STOP_TIMEOUT_MS });
  return requireStillInRecovery(place, sandbox, input.expect.systemIdentifier);
}

async function readReplayLsn(sandbox: SandboxPlace, marker: SandboxMarker): Promise<string> {
  const state = await readSandboxServer(sandbox, marker);
  if (state.inRecovery && state.replayLsn !== null) return state.replayLsn;
  throw stepFailure('SandboxTainted', 'the sandbox is not in recovery any more: it accepts writes');
}

async function requireStoppedByUs(marker: SandboxMarker, sandbox: SandboxPlace): Promise<void> {
  if (marker.state !== 'promoting') {
    throw stepFailure('PreconditionFailed', `the server of the sandbox ${sandbox.dir} is not running any more`, {
      hint: 'read its server.log; restore again with `pgr pitr`',
    });
  }
  if (marker.promotion?.synced !== true) await requireSameBoot(marker, sandbox);
}

async function requireSameBoot(marker: SandboxMarker, sandbox: SandboxPlace): Promise<void> {
  if (marker.boot === (await readBootId())) return;
  throw stepFailure(
    'PreconditionFailed',
    `the machine was rebooted before the data of ${sandbox.dir} reached the disk`,
    {
      hint: 'a sandbox runs without fsync: restore again with `pgr pitr`',
    },
  );
}

async function requireStillInRecovery(
  place: NodePlace,
  sandbox: SandboxPlace,
  systemIdentifier: string,
): Promise<ControlData> {
  const facts = await requireCluster(place.node.binDir, sandbox.dataDir, systemIdentifier);
  if (facts.state === STOPPED_IN_RECOVERY) return facts;
  const tainted = facts.state === 'shut down' || facts.state === 'in production';
  throw stepFailure(
    tainted ? 'SandboxTainted' : 'PreconditionFailed',
    `the sandbox ended in state "${facts.state}", expected "${STOPPED_IN_RECOVERY}"`,
    { hint: 'it cannot become production: restore again with `pgr pitr`' },
  );
}
