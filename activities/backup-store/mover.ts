/**
 * Brings bases and WAL of a plan to this machine, at the same time and in parallel. What it needs: an empty or half-filled sandbox
 * directory of its own. On a retry it goes on: finished chunks and segments are not asked for again.
 */
import { availableParallelism } from 'node:os';

import type { RestoreBaseResult } from '../../shared/contracts/sandbox.js';
import type { FetchSpec } from '../lib/backup-store.js';
import { createBufferPool } from './chunk-buffers.js';
import { createChunkPool } from './chunk-pool.js';
import { createCollector } from './codec-sync.js';
import { openBase, type OpenBase } from './mover-base.js';
import { createProgress } from './mover-progress.js';
import { prepareWal, type PreparedWal } from './mover-wal.js';
import type { MoverDeps, Transfer } from './mover-tools.js';

/** Requests under way: enough to fill a link with some tens of milliseconds of round trip. */
const TRANSFERS_AT_ONCE = 10;

/**
 * The server can start when the bases are there, so they go first, and the WAL follows while the server starts and replays. When they take long,
 * some lanes turn to the WAL anyway: what is wrong with it must not come out after hours.
 */
const WAL_LANES = 2;
const WAL_LANES_AFTER_MS = 5_000;

/** Memory for data under way. With the rest of the process this stays well below 250 MB. */
const BUFFER_BYTES = 40 * 1024 * 1024;

/** How a store opens one of its bases. */
export type OpenBaseOf = typeof openBase;

/** Carries out a fetch. Throws typed failures; see the parts for which. */
export async function moveBase(
  spec: FetchSpec,
  deps: MoverDeps,
  open: OpenBaseOf = openBase,
): Promise<RestoreBaseResult> {
  const started = Date.now();
  const threads = createChunkPool(deps.programPath, Math.min(4, Math.max(2, availableParallelism())));
  try {
    const progress = createProgress(deps.reporter);
    const tools = { ...deps, threads, buffers: createBufferPool(BUFFER_BYTES), progress };
    const bases = await Promise.all(spec.baseIds.map((id, at) => open(tools, id, spec.baseDirs[at] ?? '', spec.owner)));
    const wal = await prepareWal(tools, spec, bases[0]?.header ?? null);
    const numbers = (): RestoreBaseResult => ({
      baseBytes: sum(bases.map(({ header }) => header.sizes.bytes)),
      walBytes: wal.bytes,
      fetchedBytes: progress.fetchedBytes(),
      seconds: (Date.now() - started) / 1000,
      files: sum(bases.map(({ header }) => header.sizes.files)),
      chunksVerified: sum(bases.map(({ header }) => header.sizes.chunks)),
    });
    progress.start();
    await transferAll(bases, wal, () => {
      for (const base of bases) base.finish();
      deps.reporter.mark('base-done', numbers());
    });
    progress.end();
    return numbers();
  } finally {
    await threads.close();
  }
}

/**
 * Carries out all transfers. A transfer that fails for good stops the others from starting; those under way end, so that nothing
 * writes after the failure is reported.
 */
async function transferAll(bases: readonly OpenBase[], wal: PreparedWal, basesDone: () => void): Promise<void> {
  const baseQueue = bases.flatMap(({ transfers }) => transfers).values();
  const walQueue = wal.transfers.values();
  const failures: unknown[] = [];
  const collect = createCollector();
  let baseLeft = bases.reduce((count, { transfers }) => count + transfers.length, 0);
  if (baseLeft === 0) basesDone();

  const runBase = async (transfer: Transfer): Promise<void> => {
    await transfer();
    baseLeft -= 1;
    if (baseLeft === 0 && failures.length === 0) basesDone();
  };
  const started = Date.now();
  const lane = async (isWalLane: boolean): Promise<void> => {
    const next = (): Transfer | null => {
      const base = (): Transfer | null => {
        const taken = baseQueue.next();
        return taken.done === true ? null : () => runBase(taken.value);
      };
      const segment = (): Transfer | null => walQueue.next().value ?? null;
      const walFirst = isWalLane && Date.now() - started > WAL_LANES_AFTER_MS;
      return walFirst ? (segment() ?? base()) : (base() ?? segment());
    };
    for (let transfer = next(); transfer !== null; transfer = next()) {
      if (failures.length > 0) return;
      await transfer().catch((error: unknown) => failures.push(error));
      // What came from the network hangs on small young objects; left alone it is collected late, and by a full collection.
      collect({ type: 'minor' });
    }
  };
  await Promise.all(Array.from({ length: TRANSFERS_AT_ONCE }, (_, at) => lane(at < WAL_LANES)));
  if (failures.length > 0) throw failures[0];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
