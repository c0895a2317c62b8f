/**
 * Starts and stops a server by its data directory. What it reports is what it saw afterwards, never an exit code: `pg_ctl -w start`
 * returns 0 for a recovery that is about to fail. Both may be called again at any time; a server that is already there or already gone
 * is success.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';

import { minimalEnvironment } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import { isAlive } from '../lib/process-identity.js';
import { pollUntil } from '../lib/poll.js';
import { giveTo, ownerOf, pathExists, readTextIfThere, runAsOwner, type Owner } from './data-directory.js';
import { parsePidFile, readPostmaster, type PostmasterState } from './postmaster.js';

export type StartServer = {
  binDir: string;
  dataDir: string;
  /** Owner of the data directory; the user of the server when we are root. */
  owner?: Owner;
  /** Arguments after `-D <dataDir>`, such as `-c name=value`. */
  options?: readonly string[];
  /** Gets what the server writes before (or without) its own log; appended. */
  logFile: string;
  env?: Record<string, string>;
  timeoutMs?: number;
  /**
   * How far to wait: until it is up (default: it accepts sessions, or it is a standby that never will because hot_standby is off), until it
   * accepts sessions, or only until the postmaster lives (a recovery that reads WAL first).
   */
  until?: 'ready' | 'accepting' | 'alive';
};

type RunningServer = Extract<PostmasterState, { state: 'running' }>;
export type StartResult = { outcome: 'started' | 'already-running'; server: RunningServer };
export type StopResult = { outcome: 'stopped' | 'already-stopped'; proof: string };

/** Crash recovery of a large server takes minutes; a longer one belongs into a step that shows its progress. */
const START_TIMEOUT_MS = 300_000;
const STOP_TIMEOUT_MS = 300_000;
/** A server that made its checkpoint before stops within this; nobody should wait a millisecond longer than it takes. */
const EAGER_STOP_MS = 1_000;

/**
 * Starts the server and returns once it says `ready` (or `standby`). Throws PortTaken, CommandFailed with the last lines it wrote when it
 * ends by itself, DatabaseUnavailable when it is not ready in time (it is left running: recovery may simply be long).
 */
export async function startServer(request: StartServer): Promise<StartResult> {
  const before = await readPostmaster(request.dataDir);
  if (before.state === 'unknown') {
    throw stepFailure('PreconditionFailed', `cannot tell whether a server runs on ${request.dataDir}: ${before.why}`);
  }
  if (before.state === 'running') {
    return { outcome: 'already-running', server: await waitUntilUp(request, null, 0) };
  }
  await clearLeftOverPidFile(request.dataDir);
  const owner = request.owner ?? (await ownerOf(request.dataDir));
  const log = await open(request.logFile, 'a', 0o600);
  try {
    await giveTo(request.logFile, owner);
    const logStart = (await log.stat()).size;
    const child = spawn(
      path.join(request.binDir, 'postgres'),
      ['-D', request.dataDir, ...(request.options ?? [])],
      serverSpawnOptions(owner, log.fd, request.env),
    );
    child.on('error', () => undefined); // seen as "ended" below
    child.unref();
    return { outcome: 'started', server: await waitUntilUp(request, child, logStart) };
  } finally {
    await log.close();
  }
}

/** A killed postmaster is a zombie until its parent looks; that takes milliseconds, or for ever under a careless init. */
const REAP_TIMEOUT_MS = 1_000;

/**
 * PostgreSQL refuses to start while any process has the pid in postmaster.pid: a zombie, or a stranger to whom the pid was given since. When it is
 * proven that no server works here, the file is taken away.
 */
async function clearLeftOverPidFile(dataDir: string): Promise<void> {
  const file = path.join(dataDir, 'postmaster.pid');
  const text = await readTextIfThere(file);
  const pid = text === null ? null : (parsePidFile(text)?.pid ?? null);
  if (pid === null || process.platform !== 'linux') return;
  const gone = await pollUntil(async () => ((await pathExists(`/proc/${String(pid)}`)) ? null : true), {
    timeoutMs: REAP_TIMEOUT_MS,
  });
  if (gone !== null) return;
  if ((await readPostmaster(dataDir)).state === 'stopped' && (await readTextIfThere(file)) === text) await rm(file);
}

/** Own session, so that a signal to the worker's terminal does not reach it; nothing of the worker's environment but the basics. */
function serverSpawnOptions(
  owner: Owner,
  logFd: number,
  env: Record<string, string> = {},
): Parameters<typeof spawn>[2] {
  const { runAs } = runAsOwner(owner);
  return {
    cwd: '/',
    detached: true,
    stdio: ['ignore', logFd, logFd],
    env: { ...minimalEnvironment(), ...env },
    ...(runAs ?? {}),
  };
}

async function waitUntilUp(request: StartServer, child: ChildProcess | null, logStart: number): Promise<RunningServer> {
  const wanted = request.until ?? 'ready';
  let seen: PostmasterState = { state: 'stopped', why: 'not started yet' };
  const up = await pollUntil(
    async () => {
      seen = await readPostmaster(request.dataDir);
      if (seen.state === 'running' && isFarEnough(seen.status, wanted)) return seen;
      if (hasEnded(child, seen)) throw await startFailure(request, logStart);
      return null;
    },
    { timeoutMs: request.timeoutMs ?? START_TIMEOUT_MS },
  );
  if (up !== null) return up;
  throw stepFailure(
    'DatabaseUnavailable',
    `the server on ${request.dataDir} is not ready in time (${describe(seen)})`,
    {
      hint: `it may still be in recovery: look at ${request.logFile}`,
    },
  );
}

/** `ready`: accepts sessions; `standby`: in recovery, and does not accept any (src/include/utils/pidfile.h). */
function isFarEnough(status: string | null, wanted: NonNullable<StartServer['until']>): boolean {
  if (wanted === 'alive' || status === 'ready') return true;
  return wanted === 'ready' && status === 'standby';
}

function hasEnded(child: ChildProcess | null, seen: PostmasterState): boolean {
  if (child === null) return seen.state === 'stopped';
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
}

async function startFailure(request: StartServer, logStart: number): Promise<Error> {
  const text = await readFile(request.logFile).catch(() => Buffer.alloc(0));
  const tail = text.subarray(logStart).toString('utf8').trim().split('\n').slice(-8).join(' | ');
  const type = /could not (bind|create any TCP)|Is another postmaster already running on port/.test(tail)
    ? 'PortTaken'
    : 'CommandFailed';
  const wrote = tail === '' ? 'it wrote nothing' : tail;
  return stepFailure(type, `the server on ${request.dataDir} did not start: ${wrote}`, {
    hint: `read ${request.logFile} and the server's own log, then \`pgr retry\``,
  });
}

function describe(state: PostmasterState): string {
  return state.state === 'running' ? `pid ${String(state.pid)}, ${state.status ?? 'no status yet'}` : state.why;
}

/**
 * Stops the server (fast: sessions are cut, a shutdown checkpoint is written; immediate: as in a crash) and proves it: no postmaster and
 * no other postgres process of that directory. Throws FenceFailed when it is still there in time, PreconditionFailed when nobody can tell.
 */
export async function stopServer(request: {
  dataDir: string;
  mode?: 'fast' | 'immediate';
  timeoutMs?: number;
}): Promise<StopResult> {
  const before = await readPostmaster(request.dataDir);
  if (before.state === 'stopped') return { outcome: 'already-stopped', proof: before.why };
  if (before.state === 'running' && (await isAlive(before))) {
    signal(before.pid, request.mode === 'immediate' ? 'SIGQUIT' : 'SIGINT');
  }
  let last: PostmasterState = before;
  const look = async (): Promise<Extract<PostmasterState, { state: 'stopped' }> | null> => {
    // As long as this very postmaster lives nothing else needs to be looked at: a search through all processes, a thousand times a second, would take the
    // time from the checkpoint that is waited for.
    if (before.state === 'running' && (await isAlive(before))) return null;
    last = await readPostmaster(request.dataDir);
    return last.state === 'stopped' ? last : null;
  };
  const timeoutMs = request.timeoutMs ?? STOP_TIMEOUT_MS;
  const eagerMs = Math.min(timeoutMs, EAGER_STOP_MS);
  const stopped =
    (await pollUntil(look, { timeoutMs: eagerMs, everyMs: 1 })) ??
    (await pollUntil(look, { timeoutMs: timeoutMs - eagerMs }));
  if (stopped !== null) return { outcome: 'stopped', proof: stopped.why };
  throw stepFailure('FenceFailed', `the server on ${request.dataDir} still runs: ${describe(last)}`, {
    hint: 'see what it waits for (a long checkpoint, the archiver, a standby); end it by hand if you must, then `pgr retry`',
  });
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended in between, or it is not ours to signal: the state read next tells.
  }
}

/** Start, stop and status for the runtime provider `process`, which joins them with the config. */
export const serverControl = { readPostmaster, startServer, stopServer };
