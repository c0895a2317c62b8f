/** A base that comes as one stream, or by a program of its own: one transfer for the mover, and as much work for the machine as many. */
import { clearTimeout, setTimeout } from 'node:timers';

import type { Transfer } from './mover-tools.js';

/** As many as the mover has (mover.ts). */
const LANES = 10;
/** What is wrong with the WAL must not come out after hours: one lane turns to it after this long. */
const ALONE_MS = 20_000;

/**
 * The base first: with other lanes on the WAL beside it, pgBackRest took two to three times as long (measured on two cores: it flushes every file, and with
 * it goes what else was written), and a sandbox cannot start before the base has ended.
 */
export function heldTogether(transfer: Transfer, aloneMs = ALONE_MS): Transfer[] {
  let running: Promise<void> | null = null;
  const attach = (): Promise<void> => (running ??= transfer());
  return [...Array.from({ length: LANES - 1 }, () => attach), () => atMost(attach(), aloneMs)];
}

/** Returns when `work` ends, or earlier after `ms`; the other lanes wait for its end and hear of its failure. */
async function atMost(work: Promise<void>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const waited = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    await Promise.race([work, waited]);
  } finally {
    clearTimeout(timer);
  }
}
