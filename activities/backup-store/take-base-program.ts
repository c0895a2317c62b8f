/** Runs pg_basebackup and hands its stdout on. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

import type { TakeBaseOptions } from '../lib/backup-store.js';
import { minimalEnvironment, runProgram } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import { baseBackupArgs } from './take-base-commands.js';

export type BackupRun = {
  stdout: AsyncIterable<Buffer>;
  /** Resolves when the program has ended well; throws CommandFailed, or why it was killed. Call it after stdout has ended. */
  ended(): Promise<void>;
  kill(why?: Error): void;
};

/** Kept of what the program says. */
const STDERR_LINES = 20;

/** Starts the backup. The password travels in the environment only. */
export function startBackup(options: TakeBaseOptions, parentManifest: string | null): BackupRun {
  const { host, port, user, password } = options.connection;
  const args = baseBackupArgs({ host, port, user, parentManifest });
  const child = spawn(join(options.binDir, 'pg_basebackup'), args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: '/',
    env: { ...minimalEnvironment(), ...(password === null ? {} : { PGPASSWORD: password }) },
  });
  const lines: string[] = [];
  let reason: Error | null = null;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    lines.push(...text.split('\n').filter((line) => line.trim() !== ''));
    lines.splice(0, Math.max(0, lines.length - STDERR_LINES));
  });
  const exit = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.once('error', (error) => {
      reject(stepFailure('CommandFailed', `cannot start pg_basebackup: ${error.message}`, { cause: error }));
    });
    child.once('close', (code, signal) => {
      resolve({ code, signal });
    });
  });
  // Looked at in ended(); until then a failure must not end the process.
  exit.catch(() => undefined);
  return {
    stdout: child.stdout,
    async ended() {
      const { code, signal } = await exit;
      if (code === 0) return;
      if (reason !== null) throw reason;
      const said = lines.slice(-5).join(' | ');
      const ended = signal === null ? `ended with exit code ${String(code)}` : `was killed by ${signal}`;
      throw stepFailure('CommandFailed', `pg_basebackup ${ended}: ${said}`);
    },
    kill(why) {
      reason ??= why ?? null;
      child.kill('SIGTERM');
    },
  };
}

/** Major version of the programs in `binDir`. */
export async function majorOfBackupProgram(binDir: string): Promise<number> {
  const { stdout } = await runProgram(join(binDir, 'pg_basebackup'), ['--version']);
  const major = Number(/\(PostgreSQL\) (\d+)/.exec(stdout)?.[1]);
  if (Number.isInteger(major)) return major;
  throw stepFailure('PreconditionFailed', `pg_basebackup of ${binDir} does not say its version`, {
    hint: 'set binDir of the node to the directory of the server programs',
  });
}
