/** Jobs of a rebuild as files: how many were begun, and their death. */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

/** Jobs of this kind that were started. */
export async function jobsBegun(stateDir: string, kind: string): Promise<number> {
  const names = await readdir(path.join(stateDir, 'jobs'));
  return names.filter((name) => new RegExp(`-${kind}-\\d+$`).test(name)).length;
}

export async function jobPid(stateDir: string, name: string): Promise<number | null> {
  const dir = (await readdir(path.join(stateDir, 'jobs')).catch(() => [])).find((job) => job.endsWith(`-${name}`));
  if (dir === undefined) return null;
  const text = await readFile(path.join(stateDir, 'jobs', dir, 'pid'), 'utf8').catch(() => null);
  return text === null ? null : Number(text.split('\n')[0]);
}

/** SIGKILL of the command of a job, as the kernel does when memory runs out. */
export async function killJob(stateDir: string, name: string): Promise<void> {
  const pid = await jobPid(stateDir, name);
  try {
    process.kill(pid ?? 0, 'SIGKILL');
  } catch {
    // ended in between
  }
}
