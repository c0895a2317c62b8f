/**
 * Programs that outlive `pgr lab up`. Each is named by pid and start mark. A process that was started just before its starter was killed
 * is found again by its command line, which names a path of this lab and so belongs to nobody else.
 */
import { spawn } from 'node:child_process';
import { open, readdir, readFile } from 'node:fs/promises';

import { runProgram } from '../activities/lib/exec.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import { pollUntil } from '../activities/lib/poll.js';
import { identify, isAlive, type ProcessIdentity } from '../activities/lib/process-identity.js';

export type DetachedProgram = {
  name: string;
  program: string;
  args: string[];
  logFile: string;
  env?: NodeJS.ProcessEnv;
  /** Operating system user; ourselves when left out. */
  runAs?: { uid: number; gid: number };
  /** Arguments that stand in the command line of this program of this lab and of no other process. */
  signature: readonly string[];
};

/** Words of the command line of every process that can be read. */
export async function listCommandLines(): Promise<{ pid: number; words: string[] }[]> {
  if (process.platform !== 'linux') return listWithPs();
  const found: { pid: number; words: string[] }[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const text = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    if (text !== '') found.push({ pid: Number(name), words: text.split('\0') });
  }
  return found;
}

async function listWithPs(): Promise<{ pid: number; words: string[] }[]> {
  const { stdout } = await runProgram('ps', ['-A', '-ww', '-o', 'pid=,command=']);
  return stdout.split('\n').flatMap((line) => {
    const match = /^\s*(\d+)\s+(.*)$/.exec(line);
    return match === null ? [] : [{ pid: Number(match[1]), words: (match[2] ?? '').split(' ') }];
  });
}

/** The process whose command line carries the whole signature; null when there is none. */
export async function findBySignature(signature: readonly string[]): Promise<ProcessIdentity | null> {
  for (const { pid, words } of await listCommandLines()) {
    if (pid !== process.pid && signature.every((word) => words.includes(word))) return identify(pid);
  }
  return null;
}

/**
 * The living process of `program`: the recorded one when it is still that process, else one that a killed starter left behind.
 * A pid and start mark can come again after a reboot, so the command line is compared as well.
 */
export async function findRunning(
  recorded: ProcessIdentity | undefined,
  signature: readonly string[],
): Promise<ProcessIdentity | null> {
  const found = await findBySignature(signature);
  if (found !== null) return found;
  if (recorded === undefined || !(await isAlive(recorded))) return null;
  const line = (await listCommandLines()).find(({ pid }) => pid === recorded.pid);
  return line !== undefined && signature.every((word) => line.words.includes(word)) ? recorded : null;
}

/** Starts a program in a session of its own, its output appended to its log. */
export async function startDetached(program: DetachedProgram): Promise<ProcessIdentity> {
  const log = await open(program.logFile, 'a', 0o640);
  try {
    const child = spawn(program.program, program.args, {
      cwd: '/',
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      env: program.env ?? process.env,
      ...(program.runAs === undefined ? {} : { uid: program.runAs.uid, gid: program.runAs.gid }),
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    child.unref();
    const identity = child.pid === undefined ? null : await identify(child.pid);
    if (identity !== null) return identity;
  } catch (cause) {
    throw new PgrFailure('CommandFailed', `${program.name} could not be started`, {
      hint: `try ${program.program} by hand`,
      cause,
    });
  } finally {
    await log.close();
  }
  throw new PgrFailure('CommandFailed', `${program.name} ended at once: ${await logTail(program.logFile)}`, {
    hint: `read ${program.logFile}`,
  });
}

/** Waits until `ready` says so; throws CommandFailed with the last log lines when the process ends or the time is up. */
export async function waitUntilReady(
  program: Pick<DetachedProgram, 'name' | 'logFile'>,
  identity: ProcessIdentity,
  ready: () => Promise<boolean>,
  timeoutMs: number,
  again = 'pgr lab up',
): Promise<void> {
  const reached = await pollUntil(
    async () => {
      if (await ready()) return 'ready' as const;
      return (await isAlive(identity)) ? null : ('ended' as const);
    },
    { timeoutMs, everyMs: 50 },
  );
  if (reached === 'ready') return;
  const what = reached === 'ended' ? 'ended by itself' : `is not ready after ${Math.round(timeoutMs / 1000)} s`;
  throw new PgrFailure('CommandFailed', `${program.name} ${what}: ${await logTail(program.logFile)}`, {
    hint: `read ${program.logFile}, then run \`${again}\` again`,
  });
}

/** Ends exactly this process: TERM, then KILL after `graceMs`. Returns when it is gone. */
export async function stopProcess(identity: ProcessIdentity, graceMs: number): Promise<'stopped' | 'already-stopped'> {
  if (!(await isAlive(identity))) return 'already-stopped';
  const gone = async (): Promise<true | null> => ((await isAlive(identity)) ? null : true);
  send(identity.pid, 'SIGTERM');
  if ((await pollUntil(gone, { timeoutMs: graceMs })) === null) {
    if (await isAlive(identity)) send(identity.pid, 'SIGKILL');
    if ((await pollUntil(gone, { timeoutMs: 10_000 })) === null) {
      throw new PgrFailure('CommandFailed', `process ${identity.pid} does not end`, {
        hint: `end it by hand: kill -9 ${identity.pid}`,
      });
    }
  }
  return 'stopped';
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended in between; the state is read next.
  }
}

/** Last lines of a log on one line, for messages. */
async function logTail(file: string, lines = 4): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const tail = text.trimEnd().split('\n').slice(-lines).join(' | ');
  return tail === '' ? 'it wrote nothing' : tail;
}
