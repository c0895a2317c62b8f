/** How Barman is called. Pure: program and arguments only; nothing here is a secret. */
import type { BarmanConfig } from '../../../config/schema.js';

export type Call = { program: string; args: string[] };

/** A call of Barman itself, here or on its own machine. */
export function barmanCall(config: BarmanConfig, args: readonly string[]): Call {
  return callThere(config, [...config.command, ...args]);
}

/** Any program where Barman runs. ssh hands one text to the shell over there, so every word is quoted for it. */
export function callThere({ remote }: Pick<BarmanConfig, 'remote'>, words: readonly string[]): Call {
  if (remote === undefined) {
    const [program = '', ...args] = words;
    return { program, args };
  }
  const text = words.map(quoted).join(' ');
  // Nobody is there to type a password; a machine that is gone is noticed within seconds, also in the middle of a transfer.
  const options = ['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=15', '-o', 'ServerAliveInterval=15'];
  return { program: 'ssh', args: [...options, ...remote.sshOptions, '--', remote.host, text] };
}

export const listBackupsArgs = (server: string): string[] => ['-f', 'json', 'list-backups', server];
export const showBackupArgs = (server: string, id: string): string[] => ['-f', 'json', 'show-backup', server, id];
export const showServerArgs = (server: string): string[] => ['-f', 'json', 'show-server', server];
export const checkArgs = (server: string): string[] => ['-f', 'json', 'check', server];
export const keepStatusArgs = (server: string, id: string): string[] => ['-f', 'json', 'keep', '--status', server, id];
export const keepArgs = (server: string, id: string): string[] => ['keep', '--target', 'full', server, id];
export const releaseArgs = (server: string, id: string): string[] => ['keep', '--release', server, id];
export const getWalArgs = (server: string, name: string): string[] => ['get-wal', '--partial', server, name];
/** Starts what is to run in the background (receive-wal, the archiver) and returns. */
export const cronArgs = (): string[] => ['cron'];
export const createSlotArgs = (server: string): string[] => ['receive-wal', '--create-slot', server];
export const stopReceivingArgs = (server: string): string[] => ['receive-wal', '--stop', server];
export const listProcessesArgs = (server: string): string[] => ['-f', 'json', 'list-processes', server];

/** A backup under a name of ours, so that a later attempt finds it. Ends when its WAL is in the archive, or after `waitSeconds` more. */
export const backupArgs = (
  server: string,
  { name, waitSeconds, isIncremental }: { name: string; waitSeconds: number; isIncremental: boolean },
): string[] => [
  'backup',
  '--wait',
  '--wait-timeout',
  String(waitSeconds),
  '--name',
  name,
  ...(isIncremental ? ['--incremental', 'latest'] : []),
  server,
];

export type RestoreCall = {
  server: string;
  id: string;
  /** Must not exist, or be empty. */
  dir: string;
  /** How Barman gets to this machine; null when it is on it. */
  sshCommand: string | null;
  /** Where, beside Barman, an incremental or compressed backup is put together; null where it is neither, or Barman itself knows a place. */
  stagingDir: string | null;
};

/**
 * Brings the files of a backup and nothing else: `--get-wal` keeps Barman from copying WAL, which comes faster by our own transfer. No target is named:
 * the settings that Barman writes are taken out again, and the sandbox has its own.
 */
export function restoreArgs({ server, id, dir, sshCommand, stagingDir }: RestoreCall): string[] {
  return [
    '-f',
    'json',
    'restore',
    '--get-wal',
    '--no-retry',
    '--jobs',
    '2',
    ...(sshCommand === null ? [] : ['--remote-ssh-command', sshCommand]),
    ...(stagingDir === null ? [] : ['--staging-path', stagingDir, '--staging-location', 'local']),
    server,
    id,
    dir,
  ];
}

function quoted(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
