/**
 * The dead-man's switch of a pause: what runs in the process of its own. It opens its consoles, says that it is ready, and whenever the deadline passes
 * without a sign it resumes every pooler that is paused. It goes on until it is told that all is done, because the pause may come late (after long
 * checkpoints), or until its parent is dead and the poolers are resumed. It never pauses anything.
 */
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import type { PoolerSession } from '../lib/routing.js';
import { writeWhole } from '../lib/write-whole.js';
import type { PoolerAddress } from './console.js';
import { openPgbouncer } from './pgbouncer.js';

/** Comes on standard input: it holds passwords. */
export type GuardSpec = {
  /** Files of this guard: `ready`, `extend`, `done` and `ended`. */
  dir: string;
  deadlineMs: number;
  poolers: (PoolerAddress & { databases: string[] })[];
};

/** What stands in `ended`; `resumed`: it found one paused when the deadline passed, and resumed it. */
export type GuardEnd = { resumed: boolean; at: string; failed: string[] };

const LOOK_EVERY_MS = 20;
const CALL_MS = 2_000;
/** Behind the deadline, and for a pooler that does not answer then. */
const AGAIN_AFTER_MS = 200;
/** A parent that is alive and gives no sign for this long has forgotten it. */
const FORGOTTEN_MS = 600_000;

type Guarded = { spec: GuardSpec['poolers'][number]; session: PoolerSession | null };
type Watch = { lastSign: number; sign: string; resumed: boolean; failed: string[] };

/** Runs until it is told to end, or nobody needs it. Throws when a pooler cannot be opened at the start: then nothing must be paused. */
export async function guardPoolers(spec: GuardSpec): Promise<GuardEnd> {
  const parent = process.ppid;
  const poolers: Guarded[] = await Promise.all(
    spec.poolers.map(async (each) => ({ spec: each, session: await open(each) })),
  );
  await writeWhole(path.join(spec.dir, 'ready'), `${String(process.pid)}\n`);
  const watch: Watch = { lastSign: performance.now(), sign: '', resumed: false, failed: [] };
  while (!(await exists(path.join(spec.dir, 'done')))) {
    await readSign(spec.dir, watch);
    // A monotonic clock: a step of the wall clock is no deadline.
    const silent = performance.now() - watch.lastSign;
    if (silent >= spec.deadlineMs) {
      await resumeAll(poolers, watch);
      const needed = process.ppid === parent || watch.failed.length > 0;
      if (!needed || silent >= FORGOTTEN_MS) break;
    }
    await delay(silent >= spec.deadlineMs ? AGAIN_AFTER_MS : LOOK_EVERY_MS);
  }
  const end = { resumed: watch.resumed, at: new Date().toISOString(), failed: watch.failed };
  await writeWhole(path.join(spec.dir, 'ended'), `${JSON.stringify(end)}\n`).catch(() => undefined);
  for (const { session } of poolers) await session?.close();
  return end;
}

async function readSign(dir: string, watch: Watch): Promise<void> {
  const sign = await readFile(path.join(dir, 'extend'), 'utf8').catch(() => '');
  if (sign !== watch.sign) watch.lastSign = performance.now();
  watch.sign = sign;
}

async function resumeAll(poolers: readonly Guarded[], watch: Watch): Promise<void> {
  const outcomes = await Promise.all(poolers.map(resume));
  watch.failed = outcomes.flatMap(({ failed }) => failed);
  watch.resumed ||= outcomes.some(({ resumed }) => resumed);
}

function open({ databases, ...address }: GuardSpec['poolers'][number]): Promise<PoolerSession> {
  return openPgbouncer(
    { address, config: { databases, pauseTimeout: 0, onTimeout: 'give-up' }, servers: null },
    CALL_MS,
  );
}

/** One try; the next one is on a new console when this one is dead. */
async function resume(pooler: Guarded): Promise<{ resumed: boolean; failed: string[] }> {
  try {
    pooler.session ??= await open(pooler.spec);
    if ((await pooler.session.state()).state === 'active') return { resumed: false, failed: [] };
    await pooler.session.resume();
    return { resumed: true, failed: [] };
  } catch (error) {
    await pooler.session?.close().catch(() => undefined);
    pooler.session = null;
    return { resumed: false, failed: [error instanceof Error ? error.message : String(error)] };
  }
}

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  );
