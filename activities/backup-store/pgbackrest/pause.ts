/**
 * Maintenance of a stanza around a promotion. `pgbackrest stop` is not used: it stops archive-push on the host, too, and the promotion has to archive the
 * end of the old history and the beginning of the new one. Nothing has to be held either: a backup cannot run while the server is down, one that is cut
 * off is not listed and its files are used or removed by the next one, and a stanza takes the new timeline of the same cluster as it comes.
 */
import { isFailureOf, stepFailure } from '../../lib/failure.js';
import type { BackupStore } from '../../lib/backup-store.js';
import { stopProbeArgs } from './commands.js';
import { EXIT } from './failures.js';
import type { Pgbackrest } from './run.js';
import { readInfo, type Stanza } from './view.js';

type Paused = Awaited<ReturnType<BackupStore['pause']>>;
type Resumed = Awaited<ReturnType<BackupStore['resume']>>;

const NOT_HERE = 'pgbackrest is not on the host of this worker, so nothing was looked at';

/** Says what is under way. Throws PreconditionFailed when archiving is stopped on this host: the promotion could not end. */
export async function pauseStanza(source: Stanza): Promise<Paused> {
  const state = await stateOf(source);
  if (state === null) return { outcome: 'nothing-to-do', note: NOT_HERE };
  if (state.isStopped) throw stopped(source.stanza);
  const running = state.isBackupRunning
    ? 'the backup that is running ends with the old primary and counts for nothing; '
    : '';
  return {
    outcome: 'nothing-to-do',
    note: `${running}stanza ${source.stanza} stays as it is: stopping pgbackrest would stop the archiving that the promotion needs`,
  };
}

/** Throws PreconditionFailed when archiving is stopped on this host; else there is nothing to give back. */
export async function resumeStanza(source: Stanza): Promise<Resumed> {
  const state = await stateOf(source);
  if (state?.isStopped === true) throw stopped(source.stanza);
  return { outcome: 'nothing-to-do', note: state === null ? NOT_HERE : 'nothing of pgbackrest was stopped' };
}

/** Null when pgBackRest cannot be started here at all. */
async function stateOf(source: Stanza): Promise<{ isStopped: boolean; isBackupRunning: boolean } | null> {
  try {
    const isStopped = (await readStop(source.pgbackrest)) === 'stopped';
    const { status } = await readInfo(source);
    return { isStopped, isBackupRunning: status.lock?.backup.held === true };
  } catch (error) {
    if (isFailureOf(error, 'CommandFailed')) return null;
    throw error;
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
