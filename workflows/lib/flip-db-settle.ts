/** After writes go to the new primary: they are seen to work, the archive has everything, the old primary follows. */
import type { FlipRunResult, RejoinResult } from '../../shared/contracts/flip.js';
import { onHost, orchestrator } from './activity-proxies.js';
import { nowIso, secondsSince } from './clock.js';
import { runFailure } from './failures.js';
import type { Flipped } from './flip-db-change.js';
import type { FlipRun } from './flip-db-plan.js';
import { passOver } from './pass-over.js';

/** Steps verify-writes to report. */
export async function settleFlip(flip: FlipRun, flipped: Flipped): Promise<FlipRunResult> {
  const { run, ids, input } = flip;
  const { plan } = flip.planned;
  const { environment } = ids;
  const { result } = flipped;
  run.view.measured.writeOutageMs = result.writeOutageMs;
  const verified = await run.step('verify-writes', () =>
    orchestrator.verifyWrites({ environment, expectNode: plan.to.name, expectTimeline: result.timeline }),
  );
  run.notices.serviceRestored({ how: 'moved', writeOutageMs: result.writeOutageMs, node: plan.to.name });
  const measured = {
    writeOutageMs: result.writeOutageMs,
    rtoSeconds: secondsSince(input.requestedAt, nowIso()),
  };
  Object.assign(run.view.measured, measured);
  run.view.evidence = verified.checks;
  const archive = await run.step('verify-archive', () => verifyArchive(flip, flipped));
  run.view.evidence = [...verified.checks, ...archive.checks];
  const rejoin = await rejoinOldPrimary(flip, flipped);
  return run.step('report', () =>
    Promise.resolve({ outcome: 'flipped' as const, ...ids, plan, flip: result, rejoin, measured }),
  );
}

async function verifyArchive({ run, ids, planned }: FlipRun, { result }: Flipped) {
  const { to } = planned.plan;
  // The timeline of the candidate before the flip is that of the old primary: a preflight check.
  const input = { ...ids, node: to.name, fromTimeline: to.timeline, switchLsn: result.switchLsn };
  const archived = await onHost(to.host).backfillArchive(input);
  const bad = archived.checks.filter((check) => !check.ok);
  if (bad.length === 0) return archived;
  run.note('the archive is not whole', archived.checks);
  throw runFailure(
    'ArchiveFailing',
    bad.map(({ check, expected, actual }) => `${check}: found ${actual}, expected ${expected}`).join('; '),
  );
}

/** A host that was away is not waited for: writes go on without it, and the result says what is left to do. */
async function rejoinOldPrimary(flip: FlipRun, { result, fenced }: Flipped): Promise<RejoinResult | null> {
  const { run, ids, planned } = flip;
  const { from, to } = planned.plan;
  if (fenced?.hostAnswers === false) {
    passOver(run, 'rejoin-old-primary', `host ${from.host} does not answer; later: pgr rebuild-standby`);
    return null;
  }
  const input = { ...ids, node: from.name, to: to.name, expect: from, timeline: result.timeline };
  const rejoin = await run.step(
    'rejoin-old-primary',
    (): Promise<RejoinResult | null> => onHost(from.host).rejoinOldPrimary(input),
    { whenSkipped: () => null },
  );
  if (rejoin?.outcome === 'needs-rebuild') {
    run.note(`${from.name} has to be rebuilt: pgr rebuild-standby ${ids.environment} ${from.name}`, rejoin);
  }
  return rejoin;
}
