/**
 * The acts of a flip in their order. Up to the note `promoting` everything can be undone and a failure means that it is; from there on there is only
 * forward. Each act may be repeated.
 */
import { writeFence } from '../../lib/fence-file.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { compareLsn, type Lsn } from '../../../shared/lsn.js';
import { connectNode } from '../connection.js';
import { slotNameFor } from '../standby/standby-settings.js';
import { promote, readTuning, tuneCandidate, waitForReplay } from './candidate.js';
import { fillSegment } from './fill-segment.js';
import type { Flip } from './flip-context.js';
import { writeNote, type FlipNote } from './flip-note.js';
import type { OpenNode, OpenRoutes } from './flip-sessions.js';
import { hasSlot, makeSlot } from './follow.js';
import { readLostTail } from './lost-tail.js';
import { makeNextSegment } from './next-segment.js';
import { cutOff, markAsStandby, markPosition, proveShutDown, runtimeOf, stopInOrder } from './old-primary.js';
import { pauseAll, startGuard } from './quiesce.js';
import { allToTheEnd } from './wait-until.js';

/** A reason to undo; becomes FlipUndone once everything is back. */
class CannotGoOn extends Error {}

const CHECKPOINT_TIMEOUT_MS = 120_000;
/** The candidate was at most `maxLagBytes` behind a moment ago. */
const CATCH_UP_TIMEOUT_MS = 10_000;
/** Clients that end two segments while two are filled write faster than this can help. */
const SEGMENT_ATTEMPTS = 3;

/**
 * Everything that takes time, while clients still work: settings of the candidate, checkpoints on both sides, the rest of the current segment.
 * @param from the old primary; null when it is down already
 */
export async function prepare(flip: Flip, to: OpenNode, note: FlipNote, from: OpenNode | null): Promise<FlipNote> {
  const tuning = await readTuning(flip, to.client);
  // Made while the candidate is still behind the fork: so it keeps all that the old primary will need.
  const slot = await slotNameFor(flip.from, flip.plan.failover ? null : flip.from.dataDir);
  const known = await hasSlot(to.client, slot);
  // What an earlier attempt found is the truth; what we would find now may be its doing.
  const begun: FlipNote = {
    ...note,
    former: { ...tuning.former, ...note.former },
    madeSlot: note.madeSlot ?? (known ? null : slot),
  };
  await writeNote(flip, begun);
  await tuneCandidate(flip, to.client, tuning.wanted);
  await makeSlot(to.client, slot);
  if (from !== null) {
    // In this order: a restart point can only be made at a checkpoint of the primary that was replayed.
    await checkpoint(flip, flip.from.name);
    await checkpoint(flip, flip.to.name);
    if (flip.plan.mode === 'stop') await endSegment(flip, from, to);
  }
  flip.phases.mark('prepared');
  return begun;
}

/** What a shutdown has to write and send is little, and has its place. Clients that write much meanwhile begin the next segment: then once more. */
async function endSegment(flip: Flip, from: OpenNode, to: OpenNode): Promise<void> {
  const replayed = (position: Lsn): Promise<Lsn | null> =>
    waitForReplay(to.client, position, 'position', CATCH_UP_TIMEOUT_MS);
  const work = {
    from: from.client,
    to: to.client,
    checkpoint: (which: 'from' | 'to') => checkpoint(flip, flip[which].name),
    replayed,
  };
  for (let again = 0; again < SEGMENT_ATTEMPTS; again++) {
    const filled = await fillSegment(from.client);
    if (filled === null) return;
    await replayed(filled);
    if ((await makeNextSegment(work)) === 'was-there') return;
  }
}

async function checkpoint(flip: Flip, node: string): Promise<void> {
  const { deps, input } = flip;
  const options = { statementTimeoutMs: CHECKPOINT_TIMEOUT_MS };
  await connectNode(deps, input.environment, node, options, (client) => client.query('checkpoint'));
}

export async function quiesce(flip: Flip, routes: OpenRoutes, note: FlipNote): Promise<FlipNote> {
  await startGuard(flip, routes);
  const waiting: FlipNote = { ...note, waitingSinceMs: Date.now() };
  await writeNote(flip, waiting);
  const quiesced = await pauseAll(flip, routes);
  if (quiesced.outcome === 'gave-up') throw new CannotGoOn(quiesced.why);
  flip.phases.mark('paused');
  faultPoint('flip:paused');
  return waiting;
}

/** New sessions no longer reach the old primary through a router, and pg-health does not call it primary any more. */
export async function fence(flip: Flip, routes: OpenRoutes): Promise<void> {
  await allToTheEnd([routes.routing.fence(flip.from.name), placeMarker(flip)]);
  flip.phases.mark('fenced');
  faultPoint('flip:fenced');
}

/** On this host only: that of a dead primary is fenced by its own host, or by a person. */
async function placeMarker(flip: Flip): Promise<void> {
  if (flip.plan.failover) return;
  const { run, runId, environment } = flip.input;
  const why = `writes move to ${flip.to.name}`;
  const marker = { api: 1, environment, node: flip.from.name, run, runId, why, at: new Date().toISOString() } as const;
  await writeFence(flip.deps.config.stateDir, marker);
}

/** The old primary is stopped, and the candidate has everything that it wrote. Throws CannotGoOn. */
export async function stopAndProve(flip: Flip, to: OpenNode, from: OpenNode | null, note: FlipNote): Promise<FlipNote> {
  const proven =
    flip.plan.mode === 'cut' && from !== null ? await cut(flip, from, to, note) : await stop(flip, to, note);
  flip.phases.mark('caught-up');
  faultPoint('flip:stopped');
  return proven;
}

async function stop(flip: Flip, to: OpenNode, note: FlipNote): Promise<FlipNote> {
  const before = await runtimeOf(flip).status();
  if (before.state === 'stopped' && (await proveShutDown(flip)) === null) return proveByTail(flip, to, note);
  const stopping = await stopInOrder(flip);
  if (stopping === null) throw notStopped(flip);
  flip.phases.mark('stopped');
  // The wait begins with what pg_control showed at a glance, while it is proven.
  const { seen } = stopping;
  const [replayed = null, proven = null] = await allToTheEnd([
    waitForReplay(to.client, seen, 'record', CATCH_UP_TIMEOUT_MS),
    stopping.proven,
    markAsStandby(flip).then(() => null),
  ]);
  if (proven === null) throw notStopped(flip);
  const isReplayed =
    compareLsn(seen, proven) === 0
      ? replayed !== null
      : (await waitForReplay(to.client, proven, 'record', CATCH_UP_TIMEOUT_MS)) !== null;
  if (!isReplayed) {
    throw new CannotGoOn(`${flip.to.name} has not replayed the shutdown checkpoint of ${flip.from.name} at ${proven}`);
  }
  stopping.ended.then(
    () => undefined,
    (error: unknown) => flip.notes.push(`${flip.from.name} wrote its shutdown checkpoint, but: ${String(error)}`),
  );
  return { ...note, shutdownLsn: proven };
}

function notStopped({ from, stopTimeoutMs }: Flip): CannotGoOn {
  return new CannotGoOn(`${from.name} did not write its shutdown checkpoint within ${String(stopTimeoutMs / 1000)} s`);
}

async function cut(flip: Flip, from: OpenNode, to: OpenNode, note: FlipNote): Promise<FlipNote> {
  const position = await markPosition(from.client);
  const replayed = await waitForReplay(to.client, position, 'position', CATCH_UP_TIMEOUT_MS);
  if (replayed === null) throw new CannotGoOn(`${flip.to.name} did not reach ${position} of ${flip.from.name}`);
  flip.phases.mark('replayed');
  await cutOff(flip);
  flip.phases.mark('stopped');
  await markAsStandby(flip);
  return note;
}

/** An earlier attempt cut it off and died: nothing may be in its WAL that the candidate does not have. */
async function proveByTail(flip: Flip, to: OpenNode, note: FlipNote): Promise<FlipNote> {
  const { rows } = await to.client.query<{ lsn: string }>('select pg_last_wal_replay_lsn()::text as lsn');
  const tail = await readLostTail(flip.from, flip.plan.from.timeline, rows[0]?.lsn ?? '0/0');
  if (!tail.exact) throw new CannotGoOn(`the end of the WAL of ${flip.from.name} cannot be read`);
  if (tail.commits.length > 0) {
    throw new CannotGoOn(`${flip.from.name} has ${String(tail.commits.length)} commits that ${flip.to.name} has not`);
  }
  await markAsStandby(flip);
  return note;
}

/** The point of no return is on disk before the order is given. */
export async function promoteCandidate(flip: Flip, to: OpenNode, note: FlipNote): Promise<FlipNote> {
  const promoting: FlipNote = { ...note, state: 'promoting' };
  await writeNote(flip, promoting);
  faultPoint('flip:promoting');
  await promote(flip, to.client);
  flip.phases.mark('promoted');
  faultPoint('flip:promoted');
  return promoting;
}

export async function route(flip: Flip, routes: OpenRoutes): Promise<void> {
  await routes.routing.route(flip.to.name);
  flip.phases.mark('routed');
  faultPoint('flip:routed');
}

/** The old primary must not be there as a second one, whoever started it. Throws FenceFailed. */
export async function requireNoSecondPrimary(flip: Flip, from: OpenNode | null): Promise<void> {
  if (from === null) return;
  const rows = await from.client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby').then(
    (result) => result.rows,
    () => [],
  );
  if (rows[0]?.standby !== false) return;
  if (flip.plan.failover) {
    throw stepFailure('FenceFailed', `${flip.from.name} answers and accepts writes: it is not fenced`, {
      hint: 'stop it, then `pgr retry`; if it should stay the primary, `pgr abort`',
    });
  }
  flip.notes.push(`${flip.from.name} had been started again as a primary and was stopped`);
  await runtimeOf(flip).stop(flip.stopTimeoutMs);
  await markAsStandby(flip);
}
