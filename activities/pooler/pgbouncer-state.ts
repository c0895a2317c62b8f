/** What PgBouncer says of its databases, as rows of its admin console. Pure. */
import type { TopologyPooler } from '../../shared/contracts/topology.js';

export type Row = Readonly<Record<string, unknown>>;
export type PooledDatabase = { name: string; realName: string; paused: boolean };
/** A server connection that a client holds: it keeps a PAUSE from ending. */
export type HeldServer = { database: string; user: string; pid: number | null; sinceMs: number | null };

/** Databases to pause: those of the config, or all but the console's own. A configured one that is not known yet has no connection either. */
export function databasesOf(rows: readonly Row[], wanted: readonly string[]): PooledDatabase[] {
  return rows
    .map((row) => ({ name: text(row['name']), realName: text(row['database']), paused: Number(row['paused']) === 1 }))
    .filter(({ name }) => name !== 'pgbouncer' && (wanted.length === 0 || wanted.includes(name)));
}

/** One answer for all databases: `paused` as soon as clients of one of them wait. */
export function stateOf(name: string, databases: readonly PooledDatabase[], pools: readonly Row[]): TopologyPooler {
  const names = new Set(databases.map((database) => database.name));
  const waiting = pools
    .filter((pool) => names.has(text(pool['database'])))
    .reduce((sum, pool) => sum + Number(pool['cl_waiting'] ?? 0), 0);
  const paused = databases.filter((database) => database.paused).map((database) => database.name);
  if (paused.length === 0) return { name, state: 'active', why: null, waiting };
  const why = paused.length === databases.length ? null : `only ${paused.join(', ')}`;
  return { name, state: 'paused', why, waiting };
}

/** Server connections in use, of these databases. */
export function heldServers(rows: readonly Row[], databases: readonly PooledDatabase[]): HeldServer[] {
  const names = new Set(databases.map((database) => database.name));
  return rows
    .filter((row) => names.has(text(row['database'])) && text(row['link']) !== '')
    .map((row) => ({
      database: text(row['database']),
      user: text(row['user']),
      pid: Number(row['remote_pid']) > 0 ? Number(row['remote_pid']) : null,
      sinceMs: timeOf(text(row['request_time'])),
    }));
}

/** `2026-11-21 09:27:10 UTC`: whole seconds, always UTC. */
function timeOf(time: string): number | null {
  const ms = Date.parse(time.replace(' UTC', 'Z').replace(' ', 'T'));
  return Number.isNaN(ms) ? null : ms;
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
