/**
 * Maintenance of a stanza around a promotion. `pgbackrest stop` is not used: it stops archive-push on the host, too, and the promotion has to archive the
 * end of the old history and the beginning of the new one. Nothing has to be held either: a backup cannot run while the server is down, one that is cut
 * off is not listed and its files are used or removed by the next one, and a stanza takes the new timeline of the same cluster as it comes.
 */
import { stepFailure } from '../../lib/failure.js';
import type { BackupStore } from '../../lib/backup-store.js';
import { stopProbeArgs } from './commands.js';
import { EXIT } from './failures.js';
import type { Pgbackrest } from './run.js';
import { readInfo, type Stanza } from './view.js';

type Paused = Awaited<ReturnType<BackupStore['pause']>>;
type Resumed = Awaited<ReturnType<BackupStore['resume']>>;

/** Says what is under way. Throws PreconditionFailed when archiving is stopped on this host: the promotion could not end. */
export async function pauseStanza(source: Stanza): Promise<Paused> {
  const { isStopped, seen } = await lookAt(source);
  if (isStopped) throw stopped(source.stanza);
  return {
    outcome: 'nothing-to-do',
    note: `stanza ${source.stanza} stays as it is: stopping pgbackrest would stop the archiving that the promotion needs; ${seen}`,
  };
}

/** Throws PreconditionFailed when archiving is stopped on this host; else there is nothing to give back. */
export async function resumeStanza(source: Stanza): Promise<Resumed> {
  const { isStopped, seen } = await lookAt(source);
  if (isStopped) throw stopped(source.stanza);
  return { outcome: 'nothing-to-do', note: `nothing of pgbackrest was stopped; ${seen}` };
}

/** The orchestrator may be a host without pgBackRest: what cannot be looked at there is said, and the steps on the hosts prove the archive themselves. */
async function lookAt(source: Stanza): Promise<{ isStopped: boolean; seen: string }> {
  try {
    if ((await readStop(source.pgbackrest)) === 'stopped') return { isStopped: true, seen: '' };
    const { status } = await readInfo(source);
    const isRunning = status.lock?.backup.held === true;
    const running = 'a backup is running; it ends with the old primary and counts for nothing';
    return { isStopped: false, seen: isRunning ? running : 'no backup is running' };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { isStopped: false, seen: `it could not be looked at from the host of this worker (${why})` };
  }
}

/** Whether somebody has stopped the stanza on this host; `unknown` where this host does not archive. */
export async function readStop(pgbackrest: Pgbackrest): Promise<'running' | 'stopped' | 'unknown'> {
  const { exitCode } = await pgbackrest.follow(stopProbeArgs(), () => undefined);
  if (exitCode === EXIT.stopped) return 'stopped';
  return exitCode === EXIT.missing ? 'running' : 'unknown';
}

function stopped(stanza: string): Error {
  return stepFailure('PreconditionFailed', `pgbackrest is stopped on this host (stop file of stanza ${stanza})`, {
    hint: `find out who stopped it and why, then \`pgbackrest --stanza=${stanza} start\` and \`pgr retry\``,
  });
}
