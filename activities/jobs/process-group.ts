/** Process groups: a job and all its children, unless a child made a session of its own. */
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Pids of a process group without zombies: a zombie has ended, its parent has only not noticed. */
export async function livingMembers(group: number): Promise<number[]> {
  return process.platform === 'linux' ? membersFromProc(group) : membersFromPs(group);
}

async function membersFromProc(group: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
      if (stat === null) return [];
      const [state, , processGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return Number(processGroup) === group && state !== 'Z' ? [Number(pid)] : [];
    }),
  );
  return found.flat();
}

async function membersFromPs(group: number): Promise<number[]> {
  const { stdout } = await run('ps', ['-A', '-o', 'pid=,pgid=,stat=']);
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .flatMap(([pid, processGroup, state]) =>
      Number(processGroup) === group && state?.startsWith('Z') === false ? [Number(pid)] : [],
    );
}

/** True when the environment of `pid` shows that it belongs to the job in `dir` (Linux only; elsewhere unknown counts as no). */
export async function belongsToJob(pid: number, dir: string): Promise<boolean> {
  const environment = await readFile(`/proc/${String(pid)}/environ`, 'utf8').catch(() => '');
  return environment.split('\0').includes(`PGR_JOB_DIR=${dir}`);
}

/**
 * TERM to the whole group, KILL to what is left after `graceMs`; returns when nothing of it lives.
 * The caller has shown, by pid identity, that the group is the one it means.
 */
export async function endGroup(group: number, graceMs: number): Promise<void> {
  signalGroup(group, 'SIGTERM');
  const killAt = Date.now() + graceMs;
  while ((await livingMembers(group)).length > 0) {
    if (Date.now() >= killAt) signalGroup(group, 'SIGKILL');
    await delay(20);
  }
}

function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch {
    // It ended by itself.
  }
}
