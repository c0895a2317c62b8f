/** What answers for a node over HTTP (`health` of the config): our pg-health, a pair of pages that a team has, or Patroni's REST. */
import type { HealthConfig, NodeConfig } from '../../config/schema.js';
import type { NodeHealth, NodeRole } from '../../shared/contracts/topology.js';

type Reply = { status: number; body: Record<string, unknown> };
/** Answer of a URL, null when there is none in time. */
export type HttpGet = (url: string) => Promise<Reply | null>;

const TIMEOUT_MS = 1_000;
const LONGEST_BODY = 100_000;

/** What the health page of a node says, as soon as its role is known; null where the config names none. Never fails. */
export async function readHealth(
  node: Pick<NodeConfig, 'address' | 'health'>,
  role: Promise<NodeRole>,
  get: HttpGet = httpGet,
): Promise<NodeHealth | null> {
  const { health } = node;
  if (health === undefined) return null;
  switch (health.kind) {
    case 'pgr':
      return ownHealth(await get(`${ownAddress(health, node.address)}/health`));
    case 'patroni':
      return patroniHealth(await get(`${health.url.replace(/\/+$/, '')}/patroni`));
    case 'http': {
      const [primary, replica] = await Promise.all([
        get(health.primary),
        health.replica === undefined ? null : get(health.replica),
      ]);
      return pagesHealth(primary, replica, health.replica !== undefined, await role);
    }
  }
}

/** pg-health that listens on all addresses is asked at the node's own. */
function ownAddress(health: Extract<HealthConfig, { kind: 'pgr' }>, nodeAddress: string): string {
  const host = ['0.0.0.0', '::'].includes(health.listen) ? nodeAddress : health.listen;
  return `http://${host.includes(':') ? `[${host}]` : host}:${String(health.port)}`;
}

function ownHealth(reply: Reply | null): NodeHealth {
  if (reply === null) return 'unknown';
  const { role, fenced, acceptsWrites } = reply.body;
  if (fenced === true) return 'fenced';
  if (role === 'primary') return acceptsWrites === true ? 'primary' : 'down';
  if (role === 'standby') return 'standby';
  return role === 'down' ? 'down' : 'unknown';
}

/** Patroni docs, "Patroni REST API": GET /patroni gives state and role; `master` and `replica` are the older words. */
function patroniHealth(reply: Reply | null): NodeHealth {
  const { role, state } = reply?.body ?? {};
  if (typeof role !== 'string' || typeof state !== 'string') return 'unknown';
  if (state !== 'running' && state !== 'streaming' && state !== 'in archive recovery') return 'down';
  return ['primary', 'master'].includes(role) ? 'primary' : 'standby';
}

/** Two pages that say yes or no. Without a replica page a no says nothing but "not primary", which fits every other role. */
function pagesHealth(primary: Reply | null, replica: Reply | null, hasReplica: boolean, role: NodeRole): NodeHealth {
  if (primary?.status === 200) return 'primary';
  if (replica?.status === 200) return 'standby';
  if (primary === null || (hasReplica && replica === null)) return 'unknown';
  return !hasReplica && role === 'standby' ? 'standby' : 'down';
}

/** GET with a limit of one second; a body that is no JSON object is an empty one. */
async function httpGet(url: string): Promise<Reply | null> {
  try {
    const response = await fetch(url, {
      signal: AbortSignal.timeout(TIMEOUT_MS),
      redirect: 'manual',
      headers: { connection: 'close' },
    });
    const text = (await response.text()).slice(0, LONGEST_BODY);
    return { status: response.status, body: objectOf(text) };
  } catch {
    return null;
  }
}

function objectOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
