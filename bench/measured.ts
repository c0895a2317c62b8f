/** What is measured of one recovery, and how it is known to be right. */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

import { fileText, query } from './setup.js';

export type Measured = {
  /** Until the data directory is complete. */
  restoreSeconds: number;
  /** From then to "paused at the target, readable". */
  replaySeconds: number;
  totalSeconds: number;
  /** Read from the store. */
  bytes: number;
  /** Peak of the anonymous memory of our processes (not of the servers); null where there are none of ours. */
  peakMemoryBytes: number | null;
};

/** Waits until the server on `port` is paused and readable; throws with the end of its log when it ended. */
export async function untilPaused(port: number, server: ChildProcess, logFile: string): Promise<void> {
  const deadline = Date.now() + 600_000;
  for (;;) {
    const state = await query<{ state: string }>(port, 'select pg_get_wal_replay_pause_state() as state').catch(
      () => [],
    );
    if (state[0]?.state === 'paused') return;
    if (server.exitCode !== null) {
      throw new Error(`the server ended before the target: ${(await fileText(logFile)).slice(-2_000)}`);
    }
    if (Date.now() > deadline) throw new Error('the target was not reached');
    await sleep(20);
  }
}

/** The last good commit is there, the accident is not. */
export async function proveTarget(port: number): Promise<void> {
  const rows = await query<{ name: string }>(port, 'select name from sentinel order by name');
  const names = rows.map(({ name }) => name).join(', ');
  if (names !== 'last good') throw new Error(`wrong state at the target: ${names === '' ? 'nothing' : names}`);
  const [tellers] = await query<{ n: number }>(port, 'select count(*)::int as n from pgbench_tellers');
  if ((tellers?.n ?? 0) === 0) throw new Error('the accident is in the restored data');
}

export function seconds(since: number): number {
  return (performance.now() - since) / 1000;
}
