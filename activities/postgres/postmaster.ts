/**
 * Whether a server works on a data directory. `postmaster.pid` alone proves nothing: it stays after a crash, and its pid may belong
 * to a stranger by now. So the process is looked at as well, and processes are looked for without the file: a server whose pid file was
 * deleted, or the children that outlive a killed postmaster, still write to the data.
 */
import { readdir, readFile, readlink, realpath } from 'node:fs/promises';
import path from 'node:path';

import { identify, type ProcessIdentity } from '../lib/process-identity.js';
import { codeOf, readTextIfThere } from './data-directory.js';

export type PostmasterState =
  | ({
      state: 'running';
      port: number | null;
      socketDir: string | null;
      /** Last word of the pid file: `starting`, `ready`, `standby`, `stopping`; null when it has none yet. */
      status: string | null;
      /** The data directory as the server was told. */
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
  return { state: 'running', ...identity, port: file.port, socketDir: file.socketDir, status: file.status };
}

async function withoutPidFile(real: string, file: PidFile | null): Promise<PostmasterState> {
  const others = await listServerProcesses(real);
  if (others.length > 0) {
    return { state: 'unknown', why: `postgres processes still work in ${real}: ${others.join(', ')}` };
  }
  if (file === null) return { state: 'stopped', why: 'no postmaster.pid and no postgres process in that directory' };
  return { state: 'stopped', why: `postmaster.pid is left over: process ${String(file.pid)} is not its server` };
}

/** A server keeps its data directory as working directory (src/backend/postmaster: ChangeToDataDir). */
async function worksIn(pid: number, real: string): Promise<'yes' | 'no' | 'unknown'> {
  if (process.platform !== 'linux') return 'yes';
  const proc = `/proc/${String(pid)}`;
  try {
    if ((await readlink(`${proc}/cwd`)) !== real) return 'no';
    return (await isServerProgram(pid)) ? 'yes' : 'no';
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ESRCH') return 'no';
  }
  // Another user's process: its name can be read by everybody.
  return (await isServerProgram(pid)) ? 'unknown' : 'no';
}

async function isServerProgram(pid: number): Promise<boolean> {
  const name = await readFile(`/proc/${String(pid)}/comm`, 'utf8').catch(() => '');
  return ['postgres', 'postmaster'].includes(name.trim());
}

/** Pids of all postgres processes whose working directory this is (Linux; elsewhere the pid file is all there is). */
export async function listServerProcesses(real: string): Promise<number[]> {
  if (process.platform !== 'linux') return [];
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const belongs = await Promise.all(
    pids.map(async (pid) => {
      const cwd = await readlink(`/proc/${String(pid)}/cwd`).catch(() => null);
      return cwd === real && (await isServerProgram(pid));
    }),
  );
  return pids.filter((_, index) => belongs[index] === true);
}
