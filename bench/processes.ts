/** Small things that a benchmark needs of processes. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import type { ServerUser } from '../lab/server-user.js';
import { chooseFreePort } from '../lab/ports.js';

const run = promisify(execFile);

export type RunOptions = { env?: Record<string, string>; user?: ServerUser | null; cwd?: string };

/** Runs a program to its end; throws with its stderr when it fails. */
export async function runProgram(file: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { stdout } = await run(file, args, { ...spawnOptions(options), maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}

/** Starts a program; what it says goes to `logFile`. */
export function startProgram(
  file: string,
  args: readonly string[],
  logFile: string,
  options: RunOptions = {},
): ChildProcess {
  const log = openSync(logFile, 'a');
  try {
    return spawn(file, args, { ...spawnOptions(options), stdio: ['ignore', log, log] });
  } finally {
    closeSync(log);
  }
}

function spawnOptions({ env = {}, user = null, cwd = '/' }: RunOptions): {
  env: NodeJS.ProcessEnv;
  cwd: string;
  uid?: number;
  gid?: number;
} {
  const as = user === null ? {} : { uid: user.uid, gid: user.gid };
  return { env: { PATH: process.env['PATH'], HOME: '/tmp', LC_ALL: 'C', ...env }, cwd, ...as };
}

/** Peak of the resident memory of a process so far, without what it shares with files, in bytes. */
export function watchPeakMemory(child: ChildProcess): () => number {
  let peak = 0;
  const timer = setInterval(() => {
    void residentBytes(child.pid ?? 0).then((bytes) => {
      peak = Math.max(peak, bytes);
    });
  }, 10);
  const stop = (): number => {
    clearInterval(timer);
    return peak;
  };
  child.once('exit', stop);
  return stop;
}

/** The same for the process whose command line has all of `words`, whenever it comes. */
export function watchPeakMemoryOf(words: readonly string[]): () => number {
  let peak = 0;
  let pid = 0;
  const look = async (): Promise<void> => {
    if (pid === 0) pid = await findProcess(words);
    if (pid !== 0) peak = Math.max(peak, await residentBytes(pid));
  };
  const timer = setInterval(() => void look(), 50);
  return () => {
    clearInterval(timer);
    return peak;
  };
}

async function findProcess(words: readonly string[]): Promise<number> {
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const commandLine = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
    if (commandLine.startsWith(process.execPath) && words.every((word) => commandLine.includes(word))) {
      return Number(entry);
    }
  }
  return 0;
}

async function residentBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${String(pid)}/status`, 'utf8').catch(() => '');
  const kib = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1] ?? 0);
  return (kib('RssAnon') + kib('RssShmem')) * 1024;
}

/** Resolves when a process has ended. */
export function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => child.once('exit', resolve));
}

/** Ports that nobody listens on now, and that no outgoing connection takes before their servers bind them. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await chooseFreePort(ports));
  return [...ports];
}

/** True when `program` is on PATH. */
export async function isInstalled(program: string): Promise<boolean> {
  return (await pathOf(program)) !== null;
}

/** Path of a program, null when it is nowhere. Daemons lie in sbin, which is not on everybody's PATH. */
export async function pathOf(program: string): Promise<string | null> {
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin` };
  return run('/bin/sh', ['-c', `command -v ${program}`], { env }).then(
    ({ stdout }) => stdout.trim(),
    () => null,
  );
}
