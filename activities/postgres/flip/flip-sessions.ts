/** All connections of a flip, opened before it touches anything: afterwards each act is one round trip. */
import type pg from 'pg';

import type { PauseGuard, PoolerSession, RoutingSession } from '../../lib/routing.js';
import { isFailureOf, stepFailure } from '../../lib/failure.js';
import { connectNode, type NodeConnectionOptions } from '../connection.js';
import { errorText } from './error-text.js';
import type { Flip } from './flip-context.js';
import { allToTheEnd, waitUntil } from './wait-until.js';

export type OpenNode = { client: pg.Client; close(): Promise<void> };
/** Null for a node that does not answer. */
export type OpenNodes = { from: OpenNode | null; to: OpenNode | null };
/** `guard`: resumes the poolers when we cannot; null until a pause begins. */
export type OpenRoutes = { routing: RoutingSession; poolers: PoolerSession[]; guard: PauseGuard | null };
/** `all`: every router and pooler must answer; `one`: a router at least; `any`: what does not answer must not keep the others waiting. */
export type RoutesNeeded = 'all' | 'one' | 'any';

const CONNECT_TIMEOUT_MS = 3_000;
/** Nothing that is asked of them takes long; a server that is frozen must not hold up the undo, while clients wait. */
const STATEMENT_TIMEOUT_MS = 5_000;
const ROUTES_TIMEOUT_MS = 3_000;
/** Any number that nobody else uses; the session that holds it on the candidate is the one attempt of a flip that may act. */
const LOCK_KEY = 7_047_250_219;
/** A server process notices that its client was killed at its next message, on a busy machine after some hundred milliseconds. */
const LOCK_TIMEOUT_MS = 1_000;
/** A round trip on the way to the candidate; more often would only load it. */
const LOCK_EVERY_MS = 10;

/** A session that stays open until `close`. Errors as connectNode. */
async function openNode(flip: Flip, node: string, options: NodeConnectionOptions = {}): Promise<OpenNode> {
  let ended: Promise<unknown> = Promise.resolve();
  const client = await new Promise<{ client: pg.Client; done: () => void }>((resolve, reject) => {
    const { deps, input } = flip;
    const work = (opened: pg.Client): Promise<void> =>
      new Promise((done) => {
        resolve({ client: opened, done });
      });
    const limits = { connectTimeoutMs: CONNECT_TIMEOUT_MS, statementTimeoutMs: STATEMENT_TIMEOUT_MS };
    ended = connectNode(deps, input.environment, node, { ...limits, ...options }, work);
    ended.catch(reject);
  });
  return {
    client: client.client,
    close: async () => {
      client.done();
      await ended.catch(() => undefined);
    },
  };
}

async function openIfThere(flip: Flip, node: string): Promise<OpenNode | null> {
  try {
    return await openNode(flip, node);
  } catch (error) {
    if (isFailureOf(error, 'DatabaseUnavailable')) return null;
    throw error;
  }
}

/**
 * Sessions with both servers. The one with the candidate takes a lock that ends with it: a worker that was thought dead (SIGSTOP, a heartbeat that
 * came too late) and its successor never act at the same time. Throws DatabaseUnavailable while another attempt holds it.
 */
export async function openNodes(flip: Flip): Promise<OpenNodes> {
  const nodes: OpenNodes = { from: null, to: null };
  try {
    await allToTheEnd([
      openIfThere(flip, flip.from.name).then((open) => (nodes.from = open)),
      openIfThere(flip, flip.to.name).then((open) => (nodes.to = open)),
    ]);
    if (nodes.to !== null) await lock(nodes.to.client, flip.to.name);
    return nodes;
  } catch (error) {
    await closeNodes(nodes);
    throw error;
  }
}

async function lock(client: pg.Client, node: string): Promise<void> {
  // The session of an attempt that was killed a moment ago ends when its server process is scheduled: clients may be waiting, so it is waited for here.
  const locked = await waitUntil(() => tryLock(client), LOCK_TIMEOUT_MS, LOCK_EVERY_MS);
  if (locked !== null) return;
  throw stepFailure(
    'DatabaseUnavailable',
    `another attempt of a flip is still at work (it holds the lock on ${node})`,
    {
      hint: 'it goes on by itself when that attempt ends; a frozen worker must be ended by hand',
    },
  );
}

async function tryLock(client: pg.Client): Promise<true | null> {
  const { rows } = await client.query<{ locked: boolean }>('select pg_try_advisory_lock($1) as locked', [LOCK_KEY]);
  return rows[0]?.locked === true ? true : null;
}

/** The session that took the lock is alive. Throws DatabaseUnavailable. */
export async function requireLock(client: pg.Client, node: string): Promise<void> {
  await client.query('select 1').catch((cause: unknown) => {
    throw stepFailure('DatabaseUnavailable', `the session with ${node} is lost: ${errorText(cause)}`, { cause });
  });
}

export async function closeNodes(nodes: OpenNodes): Promise<void> {
  await Promise.all([nodes.from?.close(), nodes.to?.close()]);
}

/**
 * Routers and poolers. Before anything is touched all of them must answer; in the middle, one that is dead must not keep writes from the others: a pooler
 * that comes back is not paused, and its guard resumes one that only hangs. Throws RoutingUnavailable.
 */
export async function openRoutes(flip: Flip, needed: RoutesNeeded): Promise<OpenRoutes> {
  const { deps, input } = flip;
  const routing = await openRouting(flip, needed);
  const poolers: PoolerSession[] = [];
  try {
    const opened = await Promise.allSettled(
      deps.poolers(input.environment).map((pooler) => pooler.open(ROUTES_TIMEOUT_MS)),
    );
    for (const one of opened) {
      if (one.status === 'fulfilled') poolers.push(one.value);
      else flip.notes.push(errorText(one.reason));
    }
    const failed = opened.find((one) => one.status === 'rejected');
    if (failed !== undefined && needed === 'all') throw failed.reason;
    return { routing, poolers, guard: null };
  } catch (error) {
    await closeRoutes({ routing, poolers, guard: null });
    throw error;
  }
}

async function openRouting({ deps, input }: Flip, needed: RoutesNeeded): Promise<RoutingSession> {
  const provider = deps.routing(input.environment);
  try {
    return await provider.open(ROUTES_TIMEOUT_MS);
  } catch (error) {
    if (needed === 'all' || !isFailureOf(error, 'RoutingUnavailable')) throw error;
    const session = await provider.open(ROUTES_TIMEOUT_MS, { lenient: true });
    if (needed === 'any' || (await session.servers()).some(({ state }) => state !== 'unknown')) return session;
    await session.close();
    throw error;
  }
}

/** To be called when the poolers are resumed: it ends the guard. */
export async function closeRoutes(routes: OpenRoutes): Promise<void> {
  await Promise.allSettled([
    routes.guard?.done(),
    routes.routing.close(),
    ...routes.poolers.map((pooler) => pooler.close()),
  ]);
}
