/**
 * One command at a time on a lab. The lock outlives a SIGKILL of its holder as a file and is then taken over: a holder is named
 * by pid and start mark. Holders count up (`1`, `2`, …), each number is created exclusively, and the highest one is never removed, so of
 * two that find a dead holder at the same time only one gets the next number.
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { PgrFailure } from '../shared/pgr-failure.js';
import { identify, isAlive, type ProcessIdentity } from '../activities/lib/process-identity.js';

export type LabLock = { release(): Promise<void> };

export type LockOptions = {
  dir: string;
  /** Gives up after this long with EnvironmentBusy. */
  timeoutMs: number;
  /** Called once when somebody else holds the lock. */
  onWait: (holder: ProcessIdentity) => void;
};

const POLL_MS = 100;

/** Takes the lock, waiting for its holder. */
export async function takeLock(options: LockOptions): Promise<LabLock> {
  const own = await identify(process.pid);
  if (own === null) throw new PgrFailure('PreconditionFailed', 'cannot read the start time of this process');
  await mkdir(options.dir, { recursive: true });
  const deadline = Date.now() + options.timeoutMs;
  let told = false;
  for (;;) {
    const highest = await highestNumber(options.dir);
    const holder = highest === 0 ? null : await holderOf(options.dir, highest);
    if (holder === null) {
      if (await claim(options.dir, highest + 1, own)) return lockOf(options.dir, highest + 1);
      continue;
    }
    if (!told) options.onWait(holder);
    told = true;
    if (Date.now() > deadline) {
      throw new PgrFailure('EnvironmentBusy', `another pgr lab command is at work (pid ${holder.pid})`, {
        hint: 'wait until it has ended, then run this again',
      });
    }
    await delay(POLL_MS);
  }
}

async function highestNumber(dir: string): Promise<number> {
  const names = await readdir(dir).catch((cause: unknown) => {
    throw new PgrFailure('EnvironmentBusy', 'the lab was removed meanwhile', { hint: 'run this again', cause });
  });
  const numbers = names.filter((name) => /^\d+$/.test(name)).map(Number);
  return Math.max(0, ...numbers);
}

/** The living holder of a number; null when it was released, its process is gone, or the file went with a newer holder. */
async function holderOf(dir: string, number: number): Promise<ProcessIdentity | null> {
  const text = await readFile(join(dir, String(number)), 'utf8').catch(() => '');
  const [pid = '', startedAt = ''] = text.split('\n');
  if (pid === '' || startedAt === '') return null;
  const holder = { pid: Number(pid), startedAt };
  return (await isAlive(holder)) ? holder : null;
}

/** True when `number` is ours. It appears with its content at once (link of a finished file), and never twice. */
async function claim(dir: string, number: number, own: ProcessIdentity): Promise<boolean> {
  const temporary = join(dir, `tmp-${randomUUID()}`);
  const target = join(dir, String(number));
  await writeFile(temporary, `${own.pid}\n${own.startedAt}\n`);
  try {
    await link(temporary, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  // We may have looked long ago: numbers below the highest are removed, so this one may have been free although it was used.
  if ((await highestNumber(dir)) !== number) {
    await rm(target, { force: true });
    return false;
  }
  await removeOlder(dir, number);
  return true;
}

async function removeOlder(dir: string, number: number): Promise<void> {
  for (const name of await readdir(dir)) {
    if (/^\d+$/.test(name) && Number(name) < number) await rm(join(dir, name), { force: true });
  }
}

function lockOf(dir: string, number: number): LabLock {
  return {
    async release() {
      const temporary = join(dir, `tmp-${randomUUID()}`);
      await writeFile(temporary, 'released\n').catch(() => undefined);
      // `destroy` removes the directory under its own lock.
      await rename(temporary, join(dir, String(number))).catch(() => undefined);
    },
  };
}
