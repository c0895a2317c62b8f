/**
 * The ZFS of this machine, shared by everything that uses it: the kernel's where it is loaded, else one zfs-fuse, of which only one can run. Whoever needs it
 * first starts it; a pool that is imported keeps it; who takes the last pool away stops it, but only one that was started here. One lock for the
 * whole machine keeps starting, importing and stopping apart.
 */
import { existsSync } from 'node:fs';
import { lstat, mkdir } from 'node:fs/promises';
import path from 'node:path';

import { runProgram } from '../activities/lib/exec.js';
import { pollUntil } from '../activities/lib/poll.js';
import { isAlive, type ProcessIdentity } from '../activities/lib/process-identity.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import { takeLock } from './lock.js';
import { findBySignature, startDetached, stopProcess } from './process.js';

const SHARED_DIR = '/var/tmp/pgr-zfs-fuse';
/** In the command line of a zfs-fuse that was started here, and of no other. */
const SIGNATURE = ['--pidfile', path.join(SHARED_DIR, 'zfs-fuse.pid')];
const LOCK_TIMEOUT_MS = 300_000;
const READY_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 15_000;
/** FUSE unmounts in the background: exporting right after a use is refused for up to seconds. */
const BUSY_TIMEOUT_MS = 60_000;
const KERNEL_MODULE = '/sys/module/zfs';

export type Machine = { isRoot: boolean; has: (file: string) => boolean; onPath: (program: string) => boolean };

/** Null when a pool can be used here, else why not. Starts nothing. */
export function whyNoZfs(machine: Machine = thisMachine()): string | null {
  const { isRoot, has, onPath } = machine;
  if (!onPath('zfs') || !onPath('zpool')) return 'zfs is not installed (Debian: apt-get install zfs-fuse)';
  if (!isRoot) return 'zfs needs root';
  if (has(KERNEL_MODULE)) return null;
  if (!onPath('zfs-fuse'))
    return 'there is neither the zfs kernel module nor zfs-fuse (Debian: apt-get install zfs-fuse)';
  return has('/dev/fuse') ? null : 'zfs-fuse needs /dev/fuse, which is not there';
}

function thisMachine(): Machine {
  return { isRoot: process.getuid?.() === 0, has: existsSync, onPath: isOnPath };
}

/** True when the program is on PATH or where daemons lie. */
export function isOnPath(program: string): boolean {
  const dirs = [...(process.env['PATH'] ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  return dirs.some((dir) => existsSync(path.join(dir, program)));
}

/** Runs `work` while ZFS answers and nobody else starts, imports, exports or stops. */
export async function withZfs<T>(work: () => Promise<T>): Promise<T> {
  return locked(async () => {
    await startDaemon();
    return work();
  });
}

/** Runs `work` (which takes pools away, if ZFS answers at all), then stops the daemon when no pool is left and it was started here. */
export async function withoutZfs<T>(
  work: (answers: boolean) => Promise<T>,
): Promise<{ result: T; daemon: 'stopped' | 'left' }> {
  return locked(async () => {
    const result = await work(await answers());
    const daemon = await ownDaemon();
    if (daemon === null) return { result, daemon: 'left' };
    const pools = await listPools();
    if (pools === null || pools.length > 0) return { result, daemon: 'left' };
    await stopProcess(daemon, STOP_GRACE_MS);
    return { result, daemon: 'stopped' };
  });
}

/** Names of imported pools; null when ZFS does not answer. */
export async function listPools(): Promise<string[] | null> {
  const { exitCode, stdout } = await runProgram('zpool', ['list', '-H', '-o', 'name']);
  if (exitCode !== 0) return null;
  return stdout.split('\n').filter((name) => name !== '' && !name.includes(' '));
}

/** The zfs-fuse that was started here, by pid and start mark; null when there is none. */
export function ownDaemon(): Promise<ProcessIdentity | null> {
  return findBySignature(SIGNATURE);
}

/** Runs `zpool` with these words until it succeeds, again only while it says that something is busy. Throws CommandFailed. */
export async function zpool(...args: string[]): Promise<void> {
  const deadline = Date.now() + BUSY_TIMEOUT_MS;
  for (;;) {
    const { exitCode, stderr } = await runProgram('zpool', args, { timeoutMs: 120_000 });
    if (exitCode === 0) return;
    if (!/busy/.test(stderr) || Date.now() > deadline) {
      throw new PgrFailure(
        'CommandFailed',
        `zpool ${args.join(' ')}: ${stderr.trim().split('\n').slice(0, 3).join(' | ')}`,
        {
          hint: 'see `zpool list` and `zpool status`',
        },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

async function answers(): Promise<boolean> {
  return (await listPools()) !== null;
}

async function startDaemon(): Promise<void> {
  if (await answers()) return;
  if (existsSync(KERNEL_MODULE)) {
    throw new PgrFailure('PreconditionFailed', '`zpool list` fails although the zfs kernel module is loaded', {
      hint: 'see what `zpool list` says',
    });
  }
  const daemon = (await ownDaemon()) ?? (await launch());
  const reached = await pollUntil(
    async () => ((await answers()) ? 'ready' : (await isAlive(daemon)) ? null : 'ended'),
    { timeoutMs: READY_TIMEOUT_MS, everyMs: 100 },
  );
  if (reached === 'ready' || (await answers())) return;
  throw new PgrFailure('CommandFailed', `zfs-fuse ${reached === 'ended' ? 'ended by itself' : 'does not answer'}`, {
    hint: `read ${path.join(SHARED_DIR, 'zfs-fuse.log')}`,
  });
}

function launch(): Promise<ProcessIdentity> {
  return startDetached({
    name: 'zfs-fuse',
    program: 'zfs-fuse',
    args: ['--no-daemon', ...SIGNATURE],
    logFile: path.join(SHARED_DIR, 'zfs-fuse.log'),
    env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin` },
    signature: SIGNATURE,
  });
}

async function locked<T>(work: () => Promise<T>): Promise<T> {
  await mkdir(SHARED_DIR, { recursive: true, mode: 0o700 });
  const found = await lstat(SHARED_DIR);
  // /var/tmp is open to everybody.
  if (!found.isDirectory() || found.uid !== process.getuid?.()) {
    throw new PgrFailure('NotAllowed', `${SHARED_DIR} is not a directory of ours`, { hint: 'see who made it' });
  }
  const lock = await takeLock({
    dir: path.join(SHARED_DIR, 'lock'),
    timeoutMs: LOCK_TIMEOUT_MS,
    onWait: () => undefined,
  });
  try {
    return await work();
  } finally {
    await lock.release();
  }
}
