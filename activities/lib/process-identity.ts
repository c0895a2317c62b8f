/**
 * A process is named by its pid and the time it started: a pid alone is reused, and a signal to a reused pid kills a stranger.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

export type ProcessIdentity = { pid: number; startedAt: string };

const run = promisify(execFile);

/** Start mark of a live process (field 22 of /proc/PID/stat; `ps -o lstart` where there is no /proc); null when there is none. */
async function readStartMark(pid: number): Promise<string | null> {
  if (process.platform === 'linux') {
    const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8').catch(() => null);
    if (stat === null) return null;
    // The command in parentheses may hold spaces and parentheses: fields are counted from the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie has ended; only its parent has not noticed yet.
    return fields[0] === 'Z' ? null : (fields[19] ?? null);
  }
  const { stdout } = await run('ps', ['-o', 'lstart=', '-p', String(pid)]).catch(() => ({ stdout: '' }));
  return stdout.trim() === '' ? null : stdout.trim();
}

/** Identity of a live process, null when it is gone. */
export async function identify(pid: number): Promise<ProcessIdentity | null> {
  const startedAt = await readStartMark(pid);
  return startedAt === null ? null : { pid, startedAt };
}

/** True when exactly this process (not a later one with its pid) is alive. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await readStartMark(identity.pid)) === identity.startedAt;
}
