/**
 * Ports for the servers of tests. They lie below the range from which systems take the ports of outgoing connections:
 * between the choice of a port and the moment its server binds it (seconds, for some), a busy machine would give such a
 * port away. Processes of one test run choose from ranges of their own, and none chooses a port twice.
 */
import { randomInt } from 'node:crypto';

import { isFree } from '../../lab/ports.js';

const LOWEST = 10_000;
/** Sandboxes take theirs from 15400 on, labs from 20000. */
const HIGHEST = 15_000;
const RANGES = 5;
const RANGE = (HIGHEST - LOWEST) / RANGES;

const first = LOWEST + (Number(process.env['JEST_WORKER_ID'] ?? '1') % RANGES) * RANGE;
/** Another run of the tests on this machine begins elsewhere. */
let next = randomInt(RANGE);

/** A port that nobody listens on now, and that nobody else is given. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < RANGE; attempt += 1) {
    const port = first + (next++ % RANGE);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port between ${String(first)} and ${String(first + RANGE)}`);
}

/** As `freePort`, several. */
export async function freePorts(count: number): Promise<number[]> {
  return Promise.all(Array.from({ length: count }, () => freePort()));
}
