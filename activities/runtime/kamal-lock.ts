/**
 * Kamal's lock (lib/kamal/commands/lock.rb): a directory that only one can make, with a file `details` in base64. Whoever deploys, boots or reboots an
 * accessory takes it first; so no deploy starts a container that a recovery has just stopped, and none is stopped in the middle of a deploy.
 */
import { mkdir, readFile, rename, rm, rmdir, unlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';

import { readBootId } from '../lib/boot-id.js';
import { stepFailure } from '../lib/failure.js';
import { pollUntil } from '../lib/poll.js';
import { identify, isAlive } from '../lib/process-identity.js';

/** Another attempt of our own on this host ends within its activity's grace. */
const OWN_WAIT_MS = 30_000;

/**
 * Runs `work` while the lock is held; without a `lockDir` just runs it. A lock that a dead process of pgr on this host left behind is taken over.
 * Throws EnvironmentBusy, saying who holds it.
 * @param purpose what Kamal shows to whoever finds the lock, e.g. `stop production/dallas`
 */
export async function withKamalLock<T>(
  lockDir: string | undefined,
  purpose: string,
  work: () => Promise<T>,
): Promise<T> {
  if (lockDir === undefined) return work();
  const mine = await ourMark();
  await acquire(lockDir, mine, purpose);
  try {
    return await work();
  } finally {
    await release(lockDir, mine);
  }
}

async function acquire(lockDir: string, mine: string, purpose: string): Promise<void> {
  await mkdir(path.dirname(lockDir), { recursive: true });
  let holder = '';
  const taken = await pollUntil(
    async () => {
      if (await makeDirectory(lockDir)) return true;
      holder = (await readDetails(lockDir)) ?? 'nobody wrote down who (no details in it)';
      const state = await readHolder(holder);
      if (state === 'other') throw busy(lockDir, holder);
      if (state === 'dead') await setAside(lockDir, holder);
      return null;
    },
    { timeoutMs: OWN_WAIT_MS, everyMs: 100 },
  );
  if (taken === null) throw busy(lockDir, holder);
  await writeFile(path.join(lockDir, 'details'), encode(`${lockedBy()}\nVersion: pgr\nMessage: ${purpose} ${mine}`));
}

async function makeDirectory(lockDir: string): Promise<boolean> {
  try {
    await mkdir(lockDir);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Of two who find a dead holder's lock, one renames it; the other finds it gone, or a new one that is alive. */
async function setAside(lockDir: string, holder: string): Promise<void> {
  const aside = `${lockDir}.left-${String(process.pid)}`;
  await rename(lockDir, aside).catch(() => undefined);
  const moved = await readDetails(aside);
  // The rename may have caught a lock that was made since: it goes back to its owner.
  if (moved !== null && moved !== holder) await rename(aside, lockDir).catch(() => undefined);
  else await rm(aside, { recursive: true, force: true });
}

async function release(lockDir: string, mine: string): Promise<void> {
  const details = await readDetails(lockDir);
  if (details?.includes(mine) !== true) return; // somebody broke it by force and has it now
  await unlink(path.join(lockDir, 'details'));
  await rmdir(lockDir);
}

async function readDetails(lockDir: string): Promise<string | null> {
  const text = await readFile(path.join(lockDir, 'details'), 'utf8').catch(() => null);
  return text === null ? null : Buffer.from(text, 'base64').toString('utf8').trim();
}

function encode(details: string): string {
  return `${Buffer.from(details).toString('base64')}\n`;
}

function lockedBy(): string {
  return `Locked by: pgr on ${hostname()} at ${new Date().toISOString()}`;
}

/** Names this process beyond doubt: pids are reused, also across boots. */
async function ourMark(): Promise<string> {
  const self = await identify(process.pid);
  return `[pid ${String(process.pid)} start ${self?.startedAt ?? 'unknown'} boot ${await readBootId()}]`;
}

/** `other`: Kamal, a person, or pgr on another host. */
async function readHolder(details: string): Promise<'alive' | 'dead' | 'other'> {
  const mark = /\[pid (\d+) start (\S+) boot (\S+)\]/.exec(details);
  const pid = mark?.[1];
  const startedAt = mark?.[2];
  if (pid === undefined || startedAt === undefined || !details.includes(`pgr on ${hostname()} `)) return 'other';
  if (mark?.[3] !== (await readBootId())) return 'dead';
  return (await isAlive({ pid: Number(pid), startedAt })) ? 'alive' : 'dead';
}

function busy(lockDir: string, holder: string): Error {
  return stepFailure('EnvironmentBusy', `kamal's lock ${lockDir} is held: ${holder.split('\n').join('; ')}`, {
    hint: 'wait for that deploy to end, or run `kamal lock release` when nobody deploys any more; then `pgr retry`',
  });
}
