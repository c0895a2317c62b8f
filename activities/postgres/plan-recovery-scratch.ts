/** A scratch directory for the WAL that planning reads. One that a killed worker left behind is removed by the next planner. */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import path from 'node:path';

import { heartbeat } from '../lib/heartbeat.js';

const PREFIX = 'scratch-plan-';
/** Well inside the shortest heartbeat timeout (style A5.7), often enough for a cancellation to arrive. */
const BEAT_MS = 2_000;

/** Hands a new directory below `stateDir` to `work` and removes it whatever happens. Heartbeats meanwhile. */
export async function withScratch<T>(stateDir: string, work: (dir: string) => Promise<T>): Promise<T> {
  await mkdir(stateDir, { recursive: true });
  await removeLeftovers(stateDir);
  const dir = await mkdtemp(path.join(stateDir, `${PREFIX}${process.pid}-`));
  const beat = setInterval(() => {
    heartbeat();
  }, BEAT_MS);
  try {
    return await work(dir);
  } finally {
    clearInterval(beat);
    await rm(dir, { recursive: true, force: true });
  }
}

async function removeLeftovers(stateDir: string): Promise<void> {
  const names = (await readdir(stateDir)).filter((name) => name.startsWith(PREFIX));
  for (const name of names) {
    const pid = Number(/^scratch-plan-(\d+)-/.exec(name)?.[1]);
    if (isLive(pid)) continue;
    await rm(path.join(stateDir, name), { recursive: true, force: true });
  }
}

/** A pid that was reused keeps a leftover for now; it costs space, nothing else. */
function isLive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
