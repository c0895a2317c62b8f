/**
 * A recovered cluster gets the configuration that production has now, not the one of the day of the base. Settings of recovery and of following
 * another server are taken out on the way: left behind, they make a production server that stops, follows or does not archive.
 */
import { chmod, copyFile, lstat, mkdir, readdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import path from 'node:path';

import type { BackupStore } from '../../lib/backup-store.js';
import { hasReceiver, receivesWal } from '../../lib/archive-duty.js';
import { stepFailure } from '../../lib/failure.js';
import type { PrivateServers } from '../../lib/runtime.js';
import { giveTo, namesIn, pathExists, readTextIfThere, replaceFile, type Owner } from '../data-directory.js';
import { includedPaths, isRecoverySetting, stripSettings } from '../settings-files.js';

/** Files of the server itself at the top of a data directory; everything else there of moderate size is configuration. */
const SERVER_FILES =
  /^(PG_VERSION|postmaster\.(pid|opts)|backup_label.*|tablespace_map.*|backup_manifest|current_logfiles.*|(standby|recovery)\.signal|autoprewarm\.blocks|.*\.(log|tmp|history|core)|core.*)$/;
/** Certificates and rule files are kilobytes; a forgotten core dump is not configuration. */
const LARGEST_SETTINGS_FILE_BYTES = 1024 * 1024;

/** Copies the configuration in `from` over that in `to`. Repeatable; each file is replaced as a whole. */
export async function copySettings(from: string, to: string, owner: Owner): Promise<void> {
  for (const name of (await namesIn(from)) ?? []) {
    if (SERVER_FILES.test(name)) continue;
    const facts = await lstat(path.join(from, name));
    if (facts.isSymbolicLink() ? isConf(name) : facts.isFile() && facts.size <= LARGEST_SETTINGS_FILE_BYTES) {
      await copyEntry(path.join(from, name), path.join(to, name), owner);
    }
  }
  const main = (await readTextIfThere(path.join(from, 'postgresql.conf'))) ?? '';
  const { files, directories } = includedPaths(main);
  for (const name of [...files, ...directories]) await copyTree(path.join(from, name), path.join(to, name), owner);
}

function isConf(name: string): boolean {
  return name.endsWith('.conf');
}

/** A file or link, with mode and owner, under a temporary name first. */
async function copyEntry(from: string, to: string, owner: Owner): Promise<void> {
  const temporary = `${to}.pgr-tmp`;
  await rm(temporary, { force: true });
  const facts = await lstat(from);
  if (facts.isSymbolicLink()) {
    await symlink(await readlink(from), temporary);
  } else {
    await copyFile(from, temporary);
    await chmod(temporary, facts.mode & 0o777);
    await giveTo(temporary, owner);
  }
  await rename(temporary, to);
}

async function copyTree(from: string, to: string, owner: Owner): Promise<void> {
  if (!(await pathExists(from))) return;
  if (!(await lstat(from)).isDirectory()) {
    await copyEntry(from, to, owner);
    return;
  }
  await mkdir(to, { recursive: true, mode: 0o700 });
  await giveTo(to, owner);
  for (const name of await readdir(from)) await copyTree(path.join(from, name), path.join(to, name), owner);
}

/**
 * Takes every recovery setting out of postgresql.auto.conf, and recovery targets out of postgresql.conf (a restore_command there is how
 * production helps its standbys; a primary does not read it). Returns the names taken out.
 */
export async function stripRecoverySettings(dataDir: string, owner: Owner): Promise<string[]> {
  const auto = await stripFile(path.join(dataDir, 'postgresql.auto.conf'), owner, isRecoverySetting);
  const isTarget = (name: string): boolean => name.startsWith('recovery_target');
  const main = await stripFile(path.join(dataDir, 'postgresql.conf'), owner, isTarget);
  return [...new Set([...auto, ...main])];
}

async function stripFile(file: string, owner: Owner, isUnwanted: (name: string) => boolean): Promise<string[]> {
  const text = await readTextIfThere(file);
  if (text === null) return [];
  const { text: rest, removed } = stripSettings(text, isUnwanted);
  if (removed.length > 0) await replaceFile(file, rest, owner);
  return removed;
}

const TARGETS = [
  'recovery_target',
  'recovery_target_lsn',
  'recovery_target_name',
  'recovery_target_time',
  'recovery_target_xid',
] as const;

/** Reads the configuration back as the server would: no recovery target is left. Throws PreconditionFailed naming what is. */
export async function requireNoTarget(servers: PrivateServers, dataDir: string, owner: Owner): Promise<void> {
  const settings = await servers.readSettings(dataDir, owner, TARGETS);
  const left = TARGETS.filter((name) => settings[name] !== '');
  if (left.length === 0) return;
  throw stepFailure('PreconditionFailed', `the configuration in ${dataDir} still sets ${left.join(', ')}`, {
    hint: 'take it out of the included file that sets it, then `pgr retry`',
  });
}

/**
 * The WAL of production reaches the store, or nothing is changed: returns who takes care of that. Throws ArchiveFailing when the server does not archive and the
 * store does not stream.
 */
export async function requireArchiving(
  servers: PrivateServers,
  dataDir: string,
  owner: Owner,
  store: Pick<BackupStore, 'streamsWal' | 'walReceiver'>,
): Promise<'server' | 'store'> {
  if (hasReceiver(store)) return 'store';
  const names = ['archive_mode', 'archive_command', 'archive_library'] as const;
  const settings = await servers.readSettings(dataDir, owner, names);
  const problem = await archivingProblemWith(store, settings);
  if (problem !== null) {
    throw stepFailure('ArchiveFailing', `production does not archive: ${problem}`, {
      hint: `set archive_mode and archive_command in ${dataDir}, see that archiving works, then \`pgr retry\``,
    });
  }
  return archivingProblem(settings) === null ? 'server' : 'store';
}

/** Why the WAL of a server with these settings does not reach this store, null when it does. */
export async function archivingProblemWith(
  store: Pick<BackupStore, 'streamsWal' | 'walReceiver'>,
  settings: Parameters<typeof archivingProblem>[0],
): Promise<string | null> {
  const problem = archivingProblem(settings);
  return problem !== null && (await receivesWal(store)) ? null : problem;
}

/** Why these settings do not archive, null when they do. */
export function archivingProblem(settings: {
  archive_mode: string;
  archive_command: string;
  archive_library: string;
}): string | null {
  if (!['on', 'always'].includes(settings.archive_mode)) return `archive_mode is ${settings.archive_mode}`;
  const command = settings.archive_command === '(disabled)' ? '' : settings.archive_command;
  if (command === '' && settings.archive_library === '') return 'archive_command and archive_library are empty';
  if (/^(\/(usr\/)?bin\/)?true$/.test(command.trim())) return `archive_command is ${command}, which keeps nothing`;
  return null;
}
