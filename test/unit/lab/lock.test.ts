import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { identify } from '../../../activities/lib/process-identity.js';
import { takeLock } from '../../../lab/lock.js';

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'pgr-lock-'));
});

afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

const take = (timeoutMs = 2_000, onWait: (holder: { pid: number }) => void = () => undefined) =>
  takeLock({ dir, timeoutMs, onWait });

/** Leaves the lock as a process left it that held it and was killed. */
async function leaveDeadHolder(number: number): Promise<void> {
  const child = spawn('sleep', ['60']);
  const identity = await identify(child.pid ?? 0);
  await writeFile(path.join(dir, String(number)), `${identity?.pid ?? 0}\n${identity?.startedAt ?? ''}\n`);
  child.kill('SIGKILL');
  await once(child, 'exit');
}

describe('the lock of a lab', () => {
  it('makes a second command wait until the first has ended, and says who holds it', async () => {
    const first = await take();
    const waited: number[] = [];
    let taken = false;
    const second = take(5_000, (holder) => waited.push(holder.pid)).then((lock) => {
      taken = true;
      return lock;
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(taken).toBe(false);
    await first.release();
    await (await second).release();
    expect(waited).toEqual([process.pid]);
  });

  it('gives up with EnvironmentBusy when the holder does not end', async () => {
    const first = await take();
    await expect(take(150)).rejects.toMatchObject({ code: 'EnvironmentBusy' });
    await first.release();
  });

  it('is taken over from a holder that was killed', async () => {
    await leaveDeadHolder(7);
    const lock = await take();
    expect(await readdir(dir)).toEqual(['8']);
    await lock.release();
  });

  it('is not taken over from a stranger that has the pid of a dead holder', async () => {
    const own = await identify(process.pid);
    await writeFile(path.join(dir, '3'), `${process.pid}\n${own?.startedAt ?? ''}0\n`);
    const lock = await take();
    expect(await readdir(dir)).toEqual(['4']);
    await lock.release();
  });

  it('goes to exactly one of many that find a dead holder at the same time', async () => {
    await leaveDeadHolder(1);
    let inside = 0;
    let most = 0;
    const one = async (): Promise<void> => {
      const lock = await take(20_000);
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((resolve) => setTimeout(resolve, 10));
      inside -= 1;
      await lock.release();
    };
    await Promise.all(Array.from({ length: 8 }, one));
    expect(most).toBe(1);
  }, 30_000);
});
