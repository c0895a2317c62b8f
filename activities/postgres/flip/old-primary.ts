/** The primary that hands over: stopped so that it is proven that it writes nothing more, or started again. */
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type pg from 'pg';

import type { Lsn } from '../../../shared/lsn.js';
import { stepFailure } from '../../lib/failure.js';
import type { NodeRuntime } from '../../lib/runtime.js';
import type { ControlData } from '../control-data.js';
import { giveTo, ownerOf, pathExists, syncDirectory } from '../data-directory.js';
import { requireCluster } from '../promotion/node-place.js';
import { stopServer } from '../server.js';
import { looksShutDown, peekShutDown, type ShutDown } from './control-peek.js';
import type { Flip } from './flip-context.js';
import { lsnOrNull } from './lsn-text.js';
import { waitUntil } from './wait-until.js';

/** pg_control can be caught in the middle of being written; the next look finds it whole. */
const PROOF_TIMEOUT_MS = 2_000;
const KILL_TIMEOUT_MS = 30_000;

export function runtimeOf(flip: Flip): NodeRuntime {
  if (flip.oldRuntime !== null) return flip.oldRuntime;
  throw stepFailure('Bug', 'the old primary of a failover is not on this host');
}

/** A stop that is under way: where the shutdown checkpoint is at a glance, the same proven (null when it cannot be), and when all processes are gone. */
export type Stopping = { seen: Lsn; proven: Promise<Lsn | null>; ended: Promise<string> };

/**
 * Stops the old primary in order and returns as soon as its shutdown checkpoint is written: from then on it writes nothing more, although its last
 * processes may still be sending WAL to the archive (which can take long). Null when that does not happen in time, or when it crashed instead.
 */
export async function stopInOrder(flip: Flip): Promise<Stopping | null> {
  const ended = runtimeOf(flip)
    .stop(flip.stopTimeoutMs)
    .then(({ proof }) => proof);
  const over = { now: false };
  const end = (): void => {
    over.now = true;
  };
  // Whoever waits for it gets the failure; until then it must not end the process.
  ended.then(end, end);
  const seen = await waitUntil(async () => {
    // Read before the look: what ended without its checkpoint will not write it any more, and clients wait.
    const isOver = over.now;
    return (await peekShutDown(flip.from.dataDir)) ?? (isOver ? 'never' : null);
  }, flip.stopTimeoutMs);
  if (seen === null || seen === 'never') return null;
  return { seen: seen.checkpointLsn, proven: provenCheckpoint(flip, seen), ended };
}

/** Whose shutdown is to be proven. */
export type HandsOver = {
  from: Pick<Flip['from'], 'binDir' | 'dataDir'>;
  plan: { from: Pick<Flip['plan']['from'], 'systemIdentifier'> };
};

/**
 * Where the shutdown checkpoint is, proven: by the glance when that saw a whole pg_control of the planned cluster, else by pg_controldata. Null when neither
 * proves it.
 */
export async function provenCheckpoint(flip: HandsOver, seen: ShutDown): Promise<Lsn | null> {
  if (seen.whole && seen.systemIdentifier === flip.plan.from.systemIdentifier) return seen.checkpointLsn;
  return (await proveShutDown(flip))?.checkpointLsn ?? null;
}

/** What pg_controldata says of a cluster that is shut down, null when it is not. */
export async function proveShutDown(flip: HandsOver): Promise<ControlData | null> {
  const { binDir, dataDir } = flip.from;
  return waitUntil(
    async () => {
      const control = await requireCluster(binDir, dataDir, flip.plan.from.systemIdentifier).catch(() => null);
      return control?.state === 'shut down' ? control : null;
    },
    (await looksShutDown(dataDir)) ? PROOF_TIMEOUT_MS : 0,
    5,
  );
}

/**
 * Everything acknowledged until now is in the WAL before the returned position: the first message makes all of it durable by its own commit, the second
 * one marks a place behind.
 */
export async function markPosition(client: pg.Client): Promise<Lsn> {
  const mark = async (): Promise<Lsn | null> => {
    const { rows } = await client.query<{ lsn: string }>(
      "select pg_logical_emit_message(true, 'pgr', 'flip')::text as lsn",
    );
    return lsnOrNull(rows[0]?.lsn);
  };
  await client.query('set synchronous_commit = local');
  await mark();
  const lsn = await mark();
  if (lsn !== null) return lsn;
  throw stepFailure('Bug', 'the server did not say where its WAL ends');
}

/** Ends it as in a crash; what it acknowledged is in its WAL. */
export async function cutOff(flip: Flip): Promise<string> {
  const { proof } = await stopServer({ dataDir: flip.from.dataDir, mode: 'immediate', timeoutMs: KILL_TIMEOUT_MS });
  return proof;
}

/** Whoever starts the old primary from now on gets a standby: a reboot of its host or a service manager must not make a second primary. */
export async function markAsStandby(flip: Flip): Promise<void> {
  const { dataDir } = flip.from;
  const file = path.join(dataDir, 'standby.signal');
  if (await pathExists(file)) return;
  await writeFile(file, '', { mode: 0o600 });
  await giveTo(file, await ownerOf(dataDir));
  await syncDirectory(dataDir);
}

/** The undo of everything above: an ordinary start as primary. Crash recovery is short, because a checkpoint was made right before. */
export async function startAgain(flip: Flip): Promise<void> {
  const runtime = runtimeOf(flip);
  const { dataDir } = flip.from;
  const status = await runtime.status();
  if (status.state === 'running' && !(await acceptsAsPrimary(flip, status.accepting))) await cutOff(flip);
  await rm(path.join(dataDir, 'standby.signal'), { force: true });
  await syncDirectory(dataDir);
  await runtime.start();
}

/** A server that is up and has no standby.signal was never asked to stop. */
async function acceptsAsPrimary(flip: Flip, accepting: boolean): Promise<boolean> {
  return (
    accepting &&
    !(await pathExists(path.join(flip.from.dataDir, 'standby.signal'))) &&
    !(await looksShutDown(flip.from.dataDir))
  );
}
