/**
 * A base backup ends when all WAL that it needs is archived, so a failing archive makes it wait for ever. This says so instead. An archive
 * that is merely slow is waited for.
 */
import { stepFailure } from '../lib/failure.js';

export type ArchiverState = { lastFailedWal: string | null; isFailing: boolean };

export type ArchiveWatch = {
  /** Milliseconds since the last byte of the backup. */
  idleMs: () => number;
  readArchiver: () => Promise<ArchiverState>;
  /** Called once, with the ArchiveFailing failure. */
  giveUp: (failure: Error) => void;
  /** Silence after which the archiver is looked at, and how often then. */
  patienceMs?: number;
  everyMs?: number;
};

/** Longer than the pauses of a busy server; the archiver makes three attempts in a row within seconds. */
const PATIENCE_MS = 30_000;
const EVERY_MS = 5_000;

/** Starts watching; call the returned function to stop. A server that does not answer is left to the backup itself. */
export function watchArchive(watch: ArchiveWatch): () => void {
  const { idleMs, readArchiver, giveUp, patienceMs = PATIENCE_MS, everyMs = EVERY_MS } = watch;
  let stopped = false;
  const look = async (): Promise<void> => {
    if (stopped || idleMs() < patienceMs) return;
    const archiver = await readArchiver().catch(() => null);
    // The backup may have ended while the question was under way.
    if (isStopped() || archiver?.isFailing !== true || idleMs() < patienceMs) return;
    stop();
    const wal = archiver.lastFailedWal ?? 'its last segment';
    giveUp(
      stepFailure('ArchiveFailing', `the base is copied, but the server cannot archive ${wal}, which the base needs`, {
        hint: 'look at pg_stat_archiver and the server log, mend the archive_command, then `pgr retry`',
      }),
    );
  };
  const isStopped = (): boolean => stopped;
  const timer = setInterval(() => void look(), everyMs);
  const stop = (): void => {
    stopped = true;
    clearInterval(timer);
  };
  return stop;
}
