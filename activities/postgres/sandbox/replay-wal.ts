/**
 * Replays WAL to the stop of the plan, where the server pauses. Proven by the server's state, its log and its position.
 * On a retry: a server that is paused there is reported, one that replays is watched, one that died is started again. It outlives the worker.
 */
import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import type { ReplayWalResult, SandboxStepInput } from '../../../shared/contracts/sandbox.js';
import { lsnDistanceBytes } from '../../../shared/lsn.js';
import { pauseFor, throwIfCancelled } from '../../lib/cancellation.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { runJobOrFail } from '../../lib/exec-job.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { createProgressReporter } from '../../lib/heartbeat.js';
import type { JobProgress } from '../../lib/job-runner.js';
import { ownerOf, pathExists, replaceFileUnflushed } from '../data-directory.js';
import { readPostmaster } from '../postmaster.js';
import { prepareFetchJob } from './fetch-job.js';
import { changeMarker, refuseUnlessThrowaway, requireMarker, type SandboxMarker } from './marker.js';
import { placeOf, type SandboxPlace } from './place.js';
import { judgeReplay, type Reached } from './judge-replay.js';
import { watchReplay, type ReplaySight, type ReplayWatch } from './replay-watch.js';
import { startSandbox } from './sandbox-server.js';
import { textOf } from './server-log.js';

const POLL_MS = 20;
const FAULT_REPLAY_STARTED = 'replay-wal:started';

type Deps = Pick<ActivityDeps, 'config' | 'jobs' | 'runtime' | 'store' | 'program'>;

/** Throws RecoveryStopped, WalCorrupt, PortTaken, SandboxTainted, or what the transfer of the WAL failed with. */
export function createReplayWal(deps: Deps) {
  return async function replayWal({ ref, plan }: SandboxStepInput): Promise<ReplayWalResult> {
    const place = placeOf(deps.config, ref);
    refuseUnlessThrowaway(place, await requireMarker(place));
    const startedMs = Date.now();
    const marker = await startSandbox(deps, place, plan);
    faultPoint(FAULT_REPLAY_STARTED);
    const watch = watchReplay(place, marker);
    try {
      const reached = await followReplay(deps, { place, plan, watch });
      await changeMarker(place, { state: 'paused' });
      return await replayResult(place, plan, marker, reached, (Date.now() - startedMs) / 1_000);
    } finally {
      await watch.close();
    }
  };
}

type Replay = { place: SandboxPlace; plan: RecoveryPlan; watch: ReplayWatch };

/** Watches server and transfer together: a transfer that fails would leave the server waiting for a segment. */
async function followReplay(deps: Deps, replay: Replay): Promise<Reached> {
  const seen: { sight: ReplaySight; reached: Reached | null } = { sight: { kind: 'starting' }, reached: null };
  const lookAgain = async (): Promise<boolean> => {
    seen.sight = await replay.watch.look();
    seen.reached = await judgeReplay(replay.place, replay.plan, seen.sight);
    return seen.reached !== null;
  };
  const readProgress = (): Promise<JobProgress | null> => Promise.resolve(progressOf(replay.plan, seen.sight));
  if (!(await lookAgain()) && !(await pathExists(replay.place.walComplete))) {
    const job = await prepareFetchJob(deps, replay.place, replay.plan);
    const result = await runJobOrFail(deps.jobs, job, { readProgress, until: lookAgain });
    if (!result.running) await markWalComplete(replay.place);
  }
  const reporter = createProgressReporter();
  for (;;) {
    if (seen.reached !== null) return seen.reached;
    throwIfCancelled();
    await reporter.beat(readProgress);
    await pauseFor(POLL_MS);
    await lookAgain();
  }
}

/** From here on a segment that is not in the spool is missing for good; the waiting script then ends recovery instead of waiting. */
async function markWalComplete(place: SandboxPlace): Promise<void> {
  await replaceFileUnflushed(place.walComplete, '', await ownerOf(place.dir));
}

function progressOf(plan: RecoveryPlan, sight: ReplaySight): JobProgress | null {
  const from = plan.baseChain.at(-1)?.startLsn;
  if (from === undefined) return null;
  const last = plan.stop.kind === 'lsn' ? plan.stop.lsn : (plan.baseChain.at(-1)?.stopLsn ?? from);
  const total = Math.max(0, lsnDistanceBytes(from, last));
  if (sight.kind !== 'replaying' && sight.kind !== 'paused') {
    return { done: 0, total, unit: 'lsn', note: 'not consistent yet' };
  }
  const done = sight.lsn === null ? 0 : Math.min(total, Math.max(0, lsnDistanceBytes(from, sight.lsn)));
  return { done, total, unit: 'lsn', note: sight.clock === null ? 'no commit yet' : `database clock ${sight.clock}` };
}

/**
 * Commit time of the last replayed transaction. A server that stops after an LSN does so before it notes the time of that very commit
 * (xlogrecovery.c, recoveryStopsAfter), so its clock is one transaction behind; the plan knows the time.
 */
function lastCommitTime({ stop, boundary }: RecoveryPlan, reached: Reached): string | null {
  const stoppedAtKept = stop.kind === 'lsn' && stop.inclusive && boundary.kept?.lsn === reached.stop.lsn;
  return stoppedAtKept ? (boundary.kept?.time ?? null) : reached.clock;
}

async function replayResult(
  place: SandboxPlace,
  plan: RecoveryPlan,
  marker: SandboxMarker,
  reached: Reached,
  elapsedSeconds: number,
): Promise<ReplayWalResult> {
  const server = await readPostmaster(place.dataDir);
  if (server.state !== 'running') {
    throw stepFailure('RecoveryStopped', `the server of the sandbox ended after it had reached the target`);
  }
  return {
    replayLsn: reached.lsn,
    replayedTo: lastCommitTime(plan, reached),
    logLine: textOf(reached.stop.line),
    seconds: reached.seconds ?? elapsedSeconds,
    pid: server.pid,
    port: marker.port,
  };
}
