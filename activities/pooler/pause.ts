/**
 * PAUSE with a bound. Measured with PgBouncer 1.18: `PAUSE` answers only when the last transaction has ended; when somebody resumes meanwhile it never
 * answers; when its connection is cut the pause stays. So it runs on connections of its own that are thrown away, and what counts is the state. The pause of
 * a whole pooler (`PAUSE` without a name) shows nowhere, so each database is paused by its name.
 */
import { setTimeout as delay } from 'node:timers/promises';

import type { PoolerConfig } from '../../config/schema.js';
import { throwIfCancelled } from '../lib/cancellation.js';
import { stepFailure } from '../lib/failure.js';
import { faultPoint } from '../lib/fault-points.js';
import type { PauseBlocker, PauseOutcome } from '../lib/routing.js';
import { endBlockers, findBlockers, type FoundBlocker, type Servers } from './blockers.js';
import { openConsole, poolerFailure, quoteName, type Console, type PoolerAddress } from './console.js';
import { heldServers, type PooledDatabase } from './pgbouncer-state.js';

/** Paused, and the process dies with it: the guard's work. */
const FAULT_PAUSED = 'pooler:paused';

export type PauseTools = {
  address: PoolerAddress;
  config: Pick<PoolerConfig, 'pauseTimeout' | 'onTimeout'>;
  servers: Servers;
  watch: Console;
  databases: () => Promise<PooledDatabase[]>;
  resume: () => Promise<void>;
  /** Consoles opened beforehand. */
  spare: Console[];
  timeoutMs: number;
};

const LOOK_EVERY_MS = 20;
const TELL_EVERY_MS = 1_000;
/** After the blockers were told to end: their clients have to notice. */
const AFTER_END_MS = 3_000;
/** New databases can turn up while the known ones are paused (`*` in pgbouncer.ini). */
const ROUNDS = 5;

type Waiting = { done: boolean; failure: Error | null; consoles: Console[]; settled: Promise<void> };

/** See PoolerSession.pause. */
export async function pauseDatabases(tools: PauseTools, stillWaiting: () => Promise<void>): Promise<PauseOutcome> {
  const startedAt = Date.now();
  const waiting: Waiting = { done: false, failure: null, consoles: [], settled: Promise.resolve() };
  try {
    waiting.settled = pauseAll(tools, waiting);
    const ended: FoundBlocker[] = [];
    if (!(await untilDone(tools, waiting, startedAt + tools.config.pauseTimeout * 1_000, stillWaiting))) {
      const blockers = await blockersOf(tools);
      if (tools.config.onTimeout === 'cancel') ended.push(...(await endBlockers(tools.servers, blockers)));
      const limit = { 'give-up': 0, cancel: Date.now() + AFTER_END_MS, wait: Infinity }[tools.config.onTimeout];
      if (limit === 0 || !(await untilDone(tools, waiting, limit, stillWaiting))) return await giveUp(tools, blockers);
    }
    faultPoint(FAULT_PAUSED);
    return { outcome: 'paused', ms: Date.now() - startedAt, ended: ended.map(publicPart) };
  } catch (error) {
    await undo(tools, error);
    throw error;
  } finally {
    // Not waited for: a console whose PAUSE was never answered takes its time to say goodbye, and clients wait now.
    for (const console of waiting.consoles) void console.close();
  }
}

/** All databases at once: one with a long transaction must not keep the others writing. */
async function pauseAll(tools: PauseTools, waiting: Waiting): Promise<void> {
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      const open = (await tools.databases()).filter(({ paused }) => !paused || round === 0);
      if (open.length === 0) break;
      await Promise.all(open.map(({ name }) => pauseOne(tools, waiting, name)));
    }
    waiting.done = true;
  } catch (error) {
    waiting.failure = error instanceof Error ? error : new Error(String(error));
  }
}

async function pauseOne(tools: PauseTools, waiting: Waiting, name: string): Promise<void> {
  const console = tools.spare.pop() ?? (await openConsole(tools.address, tools.timeoutMs));
  waiting.consoles.push(console);
  const command = `PAUSE ${quoteName(name)}`;
  await console.ask(command, 0).catch((error: unknown) => {
    throw poolerFailure(tools.address, command, error);
  });
}

/** True when paused; false when the time is up, or when somebody (the guard, a person) has resumed meanwhile. */
async function untilDone(
  tools: PauseTools,
  waiting: Waiting,
  deadline: number,
  stillWaiting: () => Promise<void>,
): Promise<boolean> {
  let toldAt = Date.now();
  for (;;) {
    if (waiting.failure !== null) throw waiting.failure;
    if (waiting.done) return true;
    const now = Date.now();
    if (now >= deadline) return false;
    if (now - toldAt >= TELL_EVERY_MS) {
      toldAt = now;
      await stillWaiting();
      if ((await tools.databases()).some(({ paused }) => !paused)) return false;
    }
    throwIfCancelled();
    await Promise.race([waiting.settled, delay(LOOK_EVERY_MS)]);
  }
}

async function blockersOf(tools: PauseTools): Promise<FoundBlocker[]> {
  const { watch, timeoutMs, servers } = tools;
  const names = await tools.databases();
  const held = heldServers(await watch.ask('SHOW SERVERS', timeoutMs), names);
  return findBlockers(servers, held, names, Date.now());
}

async function giveUp(tools: PauseTools, before: readonly FoundBlocker[]): Promise<PauseOutcome> {
  // Those that are left now say more than those of a while ago; there may be none left by now.
  const now = await blockersOf(tools);
  await tools.resume();
  return { outcome: 'gave-up', blockers: (now.length > 0 ? now : before).map(publicPart) };
}

async function undo(tools: PauseTools, cause: unknown): Promise<void> {
  try {
    await tools.resume();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const first = cause instanceof Error ? cause.message : String(cause);
    throw stepFailure('RoutingUnavailable', `${first}; and it may still be paused: ${why}`, {
      hint: `run RESUME on the admin console of pooler ${tools.address.name}; the pause guard does so too when its deadline passes`,
      cause,
    });
  }
}

function publicPart({ pid, database, user, ageSeconds, query }: FoundBlocker): PauseBlocker {
  return { pid, database, user, ageSeconds, query };
}
