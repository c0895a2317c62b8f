/**
 * Whether a server works on a data directory. `postmaster.pid` alone proves nothing: it stays after a crash, and its pid may belong
 * to a stranger by now. So the process is looked at as well, and processes are looked for without the file: a server whose pid file was
 * deleted, or the children that outlive a killed postmaster, still write to the data. The server of a container is seen too, although its
 * pid file holds a pid of another namespace: directories are compared by device and inode, pids by what the server itself sees.
 */
import { closeSync, openSync, readdirSync, readSync } from 'node:fs';
import { readFile, readlink, realpath, stat } from 'node:fs/promises';
import path from 'node:path';

import { identify, type ProcessIdentity } from '../lib/process-identity.js';
import { codeOf, readTextIfThere } from './data-directory.js';

export type PostmasterState =
  | ({
      state: 'running';
      /** As the server sees it: what a container publishes may differ. */
      port: number | null;
      /** Null for the server of a container: its paths are not ours. */
      socketDir: string | null;
      /** The same as the server was told, also inside a container. */
      toldSocketDir: string | null;
      /** Last word of the pid file: `starting`, `ready`, `standby`, `stopping`; null when it has none yet. */
      status: string | null;
    } & ProcessIdentity)
  | { state: 'stopped'; why: string }
  | { state: 'unknown'; why: string };

export type PidFile = {
  pid: number;
  dataDir: string;
  startEpochSeconds: number | null;
  port: number | null;
  socketDir: string | null;
  status: string | null;
};

/** Parses postmaster.pid (src/include/utils/pidfile.h); null when its first line is no pid. */
export function parsePidFile(text: string): PidFile | null {
  const lines = text.split('\n').map((line) => line.trim());
  // A negative pid marks a stand-alone backend (`postgres --single`).
  const pid = Math.abs(Number(lines[0]));
  if (!Number.isInteger(pid) || pid === 0) return null;
  const numberAt = (index: number): number | null => {
    const value = Number(lines[index]);
    return lines[index] !== undefined && lines[index] !== '' && Number.isInteger(value) ? value : null;
  };
  const textAt = (index: number): string | null =>
    lines[index] === undefined || lines[index] === '' ? null : lines[index];
  return {
    pid,
    dataDir: lines[1] ?? '',
    startEpochSeconds: numberAt(2),
    port: numberAt(3),
    socketDir: textAt(4),
    status: textAt(7),
  };
}

/** Three answers: a server runs there, none does, or it cannot be told (never to be read as "none"). */
export async function readPostmaster(dataDir: string): Promise<PostmasterState> {
  const real = await realpath(dataDir).catch((error: unknown) => codeOf(error));
  if (real === 'ENOENT') return { state: 'stopped', why: `there is no ${dataDir}` };
  if (!real.startsWith('/')) return { state: 'unknown', why: `cannot read ${dataDir}: ${real}` };
  const text = await readTextIfThere(path.join(real, 'postmaster.pid'));
  const file = text === null ? null : parsePidFile(text);
  if (text !== null && file === null) return { state: 'unknown', why: `${real}/postmaster.pid has no pid in it` };
  if (file !== null) {
    const named = await readNamedProcess(file, real);
    if (named !== null) return named;
  }
  return withoutPidFile(real, file);
}

/** The process that the pid file names, when it is (or may be) the server of this directory; null when it certainly is not. */
async function readNamedProcess(file: PidFile, real: string): Promise<PostmasterState | null> {
  const identity = await identify(file.pid);
  if (identity === null) return null;
  const belongs = await worksIn(file.pid, real);
  if (belongs === 'no') return null;
  if (belongs === 'unknown') {
    return { state: 'unknown', why: `process ${String(file.pid)} of postmaster.pid lives and cannot be looked at` };
  }
  const { port, socketDir, status } = file;
  return { state: 'running', ...identity, port, socketDir, toldSocketDir: socketDir, status };
}

async function withoutPidFile(real: string, file: PidFile | null): Promise<PostmasterState> {
  const others = await listServerProcesses(real);
  const contained = file === null ? null : await readContained(file, others);
  if (contained !== null) return contained;
  if (others.length > 0) {
    return { state: 'unknown', why: `postgres processes still work in ${real}: ${others.join(', ')}` };
  }
  if (file === null) return { state: 'stopped', why: 'no postmaster.pid and no postgres process in that directory' };
  return { state: 'stopped', why: `postmaster.pid is left over: process ${String(file.pid)} is not its server` };
}

/**
 * The server of a container: the one process of that directory that has the pid of the pid file in its own namespace. Null when there is none, or when
 * processes of a second namespace work there as well: then two servers may write to the same data, and nobody can call that "running".
 */
async function readContained(file: PidFile, pids: number[]): Promise<PostmasterState | null> {
  const seen = await Promise.all(pids.map(async (pid) => ({ pid, ...(await readNamespace(pid)) })));
  const server = seen.find(({ innerPid }) => innerPid === file.pid);
  if (server === undefined || server.namespace === null) return null;
  if (seen.some(({ namespace }) => namespace !== server.namespace)) return null;
  const identity = await identify(server.pid);
  if (identity === null) return null;
  const { port, socketDir: toldSocketDir, status } = file;
  return { state: 'running', ...identity, port, socketDir: null, toldSocketDir, status };
}

/** Pid of a process as it sees itself (last value of NSpid, proc_pid_status(5)) and its pid namespace; nulls when it is gone or not ours to read. */
async function readNamespace(pid: number): Promise<{ innerPid: number | null; namespace: string | null }> {
  const proc = `/proc/${String(pid)}`;
  const status = await readFile(`${proc}/status`, 'utf8').catch(() => '');
  const inner = /^NSpid:.*?(\d+)$/m.exec(status)?.[1];
  const namespace = await readlink(`${proc}/ns/pid`).catch(() => null);
  return { innerPid: inner === undefined ? null : Number(inner), namespace };
}

/** A server keeps its data directory as working directory (src/backend/postmaster: ChangeToDataDir). */
async function worksIn(pid: number, real: string): Promise<'yes' | 'no' | 'unknown'> {
  if (process.platform !== 'linux') return 'yes';
  if (!isServerProgram(pid)) return 'no';
  try {
    return isSame(await stat(`/proc/${String(pid)}/cwd`), await stat(real)) ? 'yes' : 'no';
  } catch (error) {
    // Else it is another user's process, of which only the name can be read.
    return codeOf(error) === 'ENOENT' || codeOf(error) === 'ESRCH' ? 'no' : 'unknown';
  }
}

type Inode = { dev: number; ino: number };

/** A path says nothing about the directory of a process in another mount namespace; device and inode do. */
function isSame(a: Inode, b: Inode): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

const SERVER_PROGRAMS = ['postgres', 'postmaster'];

function isServerProgram(pid: number): boolean {
  return SERVER_PROGRAMS.includes(readName(pid, Buffer.alloc(NAME_BYTES)));
}

/** Pids of all postgres processes whose working directory this is (Linux; elsewhere the pid file is all there is). */
export async function listServerProcesses(real: string): Promise<number[]> {
  if (process.platform !== 'linux') return [];
  const directory = await stat(real).catch(() => null);
  if (directory === null) return [];
  const pids = listServerPrograms();
  const belongs = await Promise.all(
    pids.map(async (pid) => {
      const cwd = await stat(`/proc/${String(pid)}/cwd`).catch(() => null);
      return cwd !== null && isSame(cwd, directory);
    }),
  );
  return pids.filter((_, index) => belongs[index] === true);
}

/** Long enough for the 15 bytes that the kernel keeps of a name. */
const NAME_BYTES = 64;

/**
 * Pids of all processes that are called as a server is. Only the name: a look at the directory of a stranger may hang for ever (a dead NFS server), this
 * never waits. Without the thread pool, because it is asked while clients wait: 2 ms for 240 processes instead of 15.
 */
function listServerPrograms(): number[] {
  const buffer = Buffer.alloc(NAME_BYTES);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => SERVER_PROGRAMS.includes(readName(pid, buffer)));
}

/** Name of a process, empty when it is gone. */
function readName(pid: number, buffer: Buffer): string {
  let file: number | null = null;
  try {
    file = openSync(`/proc/${String(pid)}/comm`, 'r');
    return buffer.toString('utf8', 0, readSync(file, buffer)).trim();
  } catch {
    return '';
  } finally {
    if (file !== null) closeSync(file);
  }
}
