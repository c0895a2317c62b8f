/** Pooler `pgbouncer`, through its admin console. Every change reads the state afterwards and may be repeated. */
import type { PoolerConfig } from '../../config/schema.js';
import { stepFailure } from '../lib/failure.js';
import type { PoolerSession } from '../lib/routing.js';
import type { Servers } from './blockers.js';
import { openConsole, poolerFailure, quoteName, type Console, type PoolerAddress } from './console.js';
import { pauseDatabases } from './pause.js';
import { databasesOf, stateOf, type PooledDatabase } from './pgbouncer-state.js';

/** A console answers in under a millisecond; two seconds are for a machine that swaps. */
const LONGEST_CALL_MS = 2_000;

export type PgbouncerOptions = {
  address: PoolerAddress;
  config: Pick<PoolerConfig, 'databases' | 'pauseTimeout' | 'onTimeout'>;
  /** Null: only to look and to resume (the guard). */
  servers: Servers | null;
};

/** Opens its consoles. Throws RoutingUnavailable, CredentialsRefused, NotAllowed. */
export async function openPgbouncer(
  { address, config, servers }: PgbouncerOptions,
  openMs: number,
): Promise<PoolerSession> {
  const timeoutMs = Math.min(openMs, LONGEST_CALL_MS);
  const watch = await openConsole(address, timeoutMs);
  const spare: Console[] = [];
  const close = async (): Promise<void> => {
    await Promise.all([watch, ...spare.splice(0)].map((console) => console.close()));
  };
  const databases = async (): Promise<PooledDatabase[]> =>
    databasesOf(await show(address, watch, 'SHOW DATABASES', timeoutMs), config.databases);
  const resume = (): Promise<void> => resumeDatabases(address, watch, databases, timeoutMs);
  try {
    if (servers !== null) {
      await requireAdmin(address, watch, timeoutMs);
      const names = await databases();
      spare.push(...(await Promise.all(names.map(() => openConsole(address, timeoutMs)))));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    name: address.name,
    state: async () => stateOf(address.name, await databases(), await show(address, watch, 'SHOW POOLS', timeoutMs)),
    async pause(options = {}) {
      if (servers === null) throw stepFailure('Bug', 'a guard does not pause');
      const stillWaiting = options.stillWaiting ?? (() => Promise.resolve());
      return pauseDatabases({ address, config, servers, watch, databases, resume, spare, timeoutMs }, stillWaiting);
    },
    resume,
    async reconnect() {
      for (const { name } of await databases())
        await command(address, watch, `RECONNECT ${quoteName(name)}`, timeoutMs);
    },
    close,
  };
}

/** A user of stats_users may log in and look, and would be refused at the PAUSE. */
async function requireAdmin(address: PoolerAddress, watch: Console, timeoutMs: number): Promise<void> {
  const rows = await show(address, watch, 'SHOW CONFIG', timeoutMs);
  const admins = rows.find((row) => row['key'] === 'admin_users')?.['value'];
  if (typeof admins !== 'string') return;
  if (admins.split(',').some((name) => ['*', address.user].includes(name.trim()))) return;
  throw stepFailure('NotAllowed', `${address.user} is not in admin_users of pooler ${address.name}`, {
    hint: 'add it in pgbouncer.ini and reload the pooler, or name another user in the config',
  });
}

async function resumeDatabases(
  address: PoolerAddress,
  watch: Console,
  databases: () => Promise<PooledDatabase[]>,
  timeoutMs: number,
): Promise<void> {
  const paused = (await databases()).filter((database) => database.paused);
  // Somebody else may resume at the same time (the guard), which makes ours an error; the state decides.
  const refused: unknown[] = [];
  for (const { name } of paused) {
    await command(address, watch, `RESUME ${quoteName(name)}`, timeoutMs).catch((error: unknown) =>
      refused.push(error),
    );
  }
  if (paused.length === 0) return;
  const left = (await databases()).filter((database) => database.paused).map((database) => database.name);
  if (left.length === 0) return;
  const [first] = refused;
  if (first instanceof Error) throw first;
  throw stepFailure('RoutingUnavailable', `pooler ${address.name}: still paused after RESUME: ${left.join(', ')}`);
}

async function show(
  address: PoolerAddress,
  watch: Console,
  text: string,
  timeoutMs: number,
): Promise<Record<string, unknown>[]> {
  return watch.ask(text, timeoutMs).catch((error: unknown) => {
    throw poolerFailure(address, text, error);
  });
}

async function command(address: PoolerAddress, watch: Console, text: string, timeoutMs: number): Promise<void> {
  await show(address, watch, text, timeoutMs);
}
