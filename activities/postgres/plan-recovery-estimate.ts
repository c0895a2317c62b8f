/** How long a recovery will take, before anything of it was measured. Pure. */
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import type { ResolvedTarget } from '../lib/backup-store.js';

/**
 * Rates of the hand-made bound on a 2-core machine with an S3 server beside it: 4.2 GB restored in 6.4 to 8.7 s, 2 GiB replayed in 4.3 to 7.9 s. They
 * are a first guess; what a run measures stands in its record.
 */
const RESTORE_BYTES_PER_SECOND = 550_000_000;
const REPLAY_BYTES_PER_SECOND = 350_000_000;
/** pg_combinebackup reads and writes every byte of the chain once where the file system cannot clone. */
const COMBINE_BYTES_PER_SECOND = 500_000_000;
/** Start of the mover and of the server, reaching consistency, the pause at the target. */
const START_SECONDS = 1.5;

/** Restore (bases and WAL together: they are fetched at the same time), replay, and both with the starts in between. */
export function estimateOf(resolved: Pick<ResolvedTarget, 'baseChain' | 'replayBytes'>): RecoveryPlan['estimate'] {
  const raw = resolved.baseChain.reduce((sum, base) => sum + base.rawBytes, 0);
  const combine = resolved.baseChain.length > 1 ? raw / COMBINE_BYTES_PER_SECOND : 0;
  const restoreSeconds = tenths((raw + resolved.replayBytes) / RESTORE_BYTES_PER_SECOND + combine);
  const replaySeconds = tenths(resolved.replayBytes / REPLAY_BYTES_PER_SECOND);
  return { restoreSeconds, replaySeconds, totalSeconds: tenths(restoreSeconds + replaySeconds + START_SECONDS) };
}

function tenths(seconds: number): number {
  return Math.ceil(seconds * 10) / 10;
}
