/**
 * Backups off while production is replaced, and on again. The controller notices within 15 s (measured). The replication slot stays and keeps WAL on
 * the source as long as backups are off; a slot that lags more than the controller's threshold is dropped by it.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';

import type { BackupStore } from '../../lib/backup-store.js';
import { stepFailure } from '../../lib/failure.js';
import { writeWhole } from '../../lib/write-whole.js';
import { readBackupConfig, saveBackupConfig } from './api.js';
import { chooseDatabase, type Choice } from './choose-database.js';
import type { Session } from './session.js';

export type PauseDeps = {
  session: Session;
  choice: Choice;
  /** Where it is noted what was before: the controller has no place for it. */
  memory: { stateDir: string; environment: string };
};

type Note = { api: 1; run: string; wasEnabled: boolean };

/** Switches backups off and reads that back. Done twice by one run it changes nothing. */
export async function pauseBackups(deps: PauseDeps, run: string): ReturnType<BackupStore['pause']> {
  const { session, choice } = deps;
  const { id, name } = await chooseDatabase(session, choice);
  const config = await readBackupConfig(session, id);
  const file = noteFile(deps, run);
  const known = await readNote(file);
  if (known === null) {
    await mkdir(path.dirname(file), { recursive: true });
    const note: Note = { api: 1, run, wasEnabled: config.isBackupsEnabled };
    // On the disk before backups go off: without it nobody would know that they were on.
    await writeWhole(file, `${JSON.stringify(note)}\n`, { flush: true });
  }
  if (!config.isBackupsEnabled) {
    const isOurs = known?.wasEnabled === true;
    const note = isOurs
      ? 'this run switched them off already'
      : `backups of "${name}" were off in the controller before this run`;
    return { outcome: isOurs ? 'paused' : 'nothing-to-do', note };
  }
  await switchTo(session, id, false);
  return {
    outcome: 'paused',
    note: `backups of "${name}" are off in the controller; its replication slot stays on the source and keeps wal there until they are on again`,
  };
}

/** Switches backups on again and reads that back; backups that were off before this run stay off. */
export async function resumeBackups(deps: PauseDeps, run: string): ReturnType<BackupStore['resume']> {
  const { session, choice } = deps;
  const { id, name } = await chooseDatabase(session, choice);
  const config = await readBackupConfig(session, id);
  const file = noteFile(deps, run);
  const known = await readNote(file);
  if (config.isBackupsEnabled) {
    await rm(file, { force: true });
    return { outcome: 'nothing-to-do', note: `backups of "${name}" are on in the controller` };
  }
  if (known?.wasEnabled === false) {
    return { outcome: 'nothing-to-do', note: `backups of "${name}" were off before this run and stay off` };
  }
  await switchTo(session, id, true);
  await rm(file, { force: true });
  return {
    outcome: 'resumed',
    note: `backups of "${name}" are on again; the wal stream attaches within a quarter of a minute, after a restart of the controller within two minutes`,
  };
}

async function switchTo(session: Session, databaseId: string, isBackupsEnabled: boolean): Promise<void> {
  const config = await readBackupConfig(session, databaseId);
  await saveBackupConfig(session, { ...config, isBackupsEnabled });
  const after = await readBackupConfig(session, databaseId);
  if (after.isBackupsEnabled === isBackupsEnabled) return;
  throw stepFailure(
    'PreconditionFailed',
    `the controller took the change of its backups, but they are ${after.isBackupsEnabled ? 'on' : 'off'} still`,
    { hint: 'switch them in the controller by hand, then `pgr retry`' },
  );
}

function noteFile({ memory }: PauseDeps, run: string): string {
  const name = createHash('sha256').update(`${memory.environment}\n${run}`).digest('hex').slice(0, 16);
  return path.join(memory.stateDir, 'paused-backups', `${name}.json`);
}

async function readNote(file: string): Promise<Note | null> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  return JSON.parse(text) as Note;
}
