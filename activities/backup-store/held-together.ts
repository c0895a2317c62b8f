/** A base that comes as one stream, or by a program of its own: one transfer for the mover, and as much work for the machine as many. */
import type { Transfer } from './mover-tools.js';

/** One less than the mover has lanes (mover.ts). */
const LANES_HELD = 9;

/**
 * The base first: with all other lanes on the WAL beside it, pgBackRest took two to three times as long (measured on two cores), and a sandbox cannot start before it
 * has ended. So it holds all lanes but one, in which what is wrong with the WAL comes out early.
 */
export function heldTogether(transfer: Transfer): Transfer[] {
  let running: Promise<void> | null = null;
  const attach = (): Promise<void> => (running ??= transfer());
  return Array.from({ length: LANES_HELD }, () => attach);
}
