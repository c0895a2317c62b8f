/** What a look at the server of a sandbox means for its recovery. */
import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import type { Lsn } from '../../../shared/lsn.js';
import { stepFailure } from '../../lib/failure.js';
import { changeMarker, tainted } from './marker.js';
import type { SandboxPlace } from './place.js';
import { readLogSinceStart } from './read-log.js';
import type { ReplaySight } from './replay-watch.js';
import {
  findFailure,
  findStopLine,
  findTooSmallSetting,
  secondsBetweenLines,
  textOf,
  type StopLine,
} from './server-log.js';
import { stopProblem } from './stop-point.js';

/** The target was reached: the line that says so, the position, the database's own clock, seconds of replay by the log's times. */
export type Reached = { stop: StopLine; lsn: Lsn; clock: string | null; seconds: number | null };

/** Null while recovery goes on; throws when it cannot reach the target any more. */
export async function judgeReplay(
  place: SandboxPlace,
  plan: RecoveryPlan,
  sight: ReplaySight,
): Promise<Reached | null> {
  if (sight.kind === 'not-in-recovery') {
    await changeMarker(place, { state: 'tainted' });
    throw tainted(place, 'its server is not in recovery any more, so it accepts writes');
  }
  if (sight.kind === 'stopped') throw await endedFailure(place, plan);
  if (sight.kind !== 'paused' || sight.lsn === null) return null;
  const lines = await readLogSinceStart(place.serverLog);
  const stop = findStopLine(lines);
  if (stop === null) throw pausedElsewhere(place, sight.lsn, lines);
  const problem = stopProblem(plan.stop, stop, sight.lsn);
  if (problem !== null) throw stepFailure('RecoveryStopped', problem);
  return { stop, lsn: sight.lsn, clock: sight.clock, seconds: secondsBetweenLines(lines[0], stop.line) };
}

function pausedElsewhere(place: SandboxPlace, lsn: Lsn, lines: readonly string[]): Error {
  const setting = findTooSmallSetting(lines);
  if (setting !== null) {
    return stepFailure('RecoveryStopped', `recovery paused at ${lsn} because of settings: ${setting}`, {
      hint: 'production had larger values at some time; `pgr abort`, then start again: a new plan reads them again',
    });
  }
  return stepFailure('RecoveryStopped', `somebody paused recovery at ${lsn}, before the target`, {
    hint: `run \`select pg_wal_replay_resume()\` in the sandbox (socket of ${place.dir}), then \`pgr retry\``,
  });
}

const SHUTDOWN_REQUEST = /received (fast|smart|immediate) shutdown request/;

async function endedFailure(place: SandboxPlace, plan: RecoveryPlan): Promise<Error> {
  const lines = await readLogSinceStart(place.serverLog);
  const found = findFailure(lines);
  const last = lines.slice(-4).map(textOf).join(' | ');
  const wanted = plan.stop.kind === 'lsn' ? plan.stop.lsn : 'the end of the base';
  // Stopped from outside (a host going down, an operator, a kill): nothing is wrong with the recovery, the next attempt starts it again.
  if (found === null || lines.some((line) => SHUTDOWN_REQUEST.test(line))) {
    return stepFailure('DatabaseUnavailable', `the server of the sandbox was stopped before ${wanted}: ${last}`);
  }
  return stepFailure(found.type, `${found.message} (wanted ${wanted}; log: ${last})`, {
    ...(found.hint === null ? {} : { hint: found.hint }),
  });
}
