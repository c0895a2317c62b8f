/** Routing provider `multihost`: clients try the hosts of a libpq URL in order and keep the first that accepts writes. */
import type pg from 'pg';

import type { ActivityDeps } from '../lib/deps.js';
import { withClient, type ClientOptions } from '../lib/database.js';
import { environmentOf } from '../lib/environment-config.js';
import { isFailureOf, stepFailure } from '../lib/failure.js';
import { pollUntil } from '../lib/poll.js';
import { parseMultihostUrl } from '../lib/multihost-url.js';

export type WriteTarget = { host: string; port: number };

/** What each host of the URL answered, for the failure when none accepts writes. */
type Refusal = { host: string; why: string };

const CONNECT_TIMEOUT_MS = 3_000;
const PAUSE_MS = 100;

/**
 * Opens a session through the write address, as an application would, and hands it to `work` with the host that took it. Tries for
 * `timeoutMs`. Throws DatabaseUnavailable with what each host said when none accepts writes.
 */
export async function throughWriteAddress<T>(
  deps: Pick<ActivityDeps, 'config' | 'resolveSecret'>,
  environmentName: string,
  timeoutMs: number,
  work: (client: pg.Client, target: WriteTarget) => Promise<T>,
): Promise<T> {
  const { routing, postgres } = environmentOf(deps.config, environmentName);
  const url = parseMultihostUrl(routing.url);
  const password = postgres.password === undefined ? null : await deps.resolveSecret(postgres.password);
  const user = url.user ?? postgres.user;
  const database = url.database ?? postgres.database;
  let refusals: Refusal[] = [];
  const done = await pollUntil(
    async () => {
      refusals = [];
      for (const target of url.hosts) {
        const options = { ...target, user, database, password, plain: true, connectTimeoutMs: CONNECT_TIMEOUT_MS };
        const answer = await tryHost(options, (client) => work(client, target));
        if (answer.accepted) return { value: answer.value };
        refusals.push({ host: `${target.host}:${String(target.port)}`, why: answer.why });
      }
      return null;
    },
    { timeoutMs, everyMs: PAUSE_MS },
  );
  if (done !== null) return done.value;
  const said = refusals.map(({ host, why }) => `${host} ${why}`).join('; ');
  throw stepFailure('DatabaseUnavailable', `nobody accepts writes at the write address: ${said}`);
}

type Answer<T> = { accepted: true; value: T } | { accepted: false; why: string };

/** A host that does not answer or is read-only is passed over; a failure of `work` itself is not. */
async function tryHost<T>(options: ClientOptions, work: (client: pg.Client) => Promise<T>): Promise<Answer<T>> {
  const state = { accepted: false };
  try {
    return await withClient(options, async (client) => {
      const { rows } = await client.query<{ transaction_read_only: string }>('show transaction_read_only');
      if (rows[0]?.transaction_read_only !== 'off') return { accepted: false, why: 'is read-only' };
      state.accepted = true;
      return { accepted: true, value: await work(client) };
    });
  } catch (error) {
    if (state.accepted || !isFailureOf(error, 'DatabaseUnavailable')) throw error;
    return { accepted: false, why: 'does not answer' };
  }
}
