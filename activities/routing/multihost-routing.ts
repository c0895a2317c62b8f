/** Routing provider `multihost`: nothing stands between clients and servers, so there is nothing to fence, to route or to release. */
import type { EnvironmentConfig } from '../../config/schema.js';
import type { TopologyRouter } from '../../shared/contracts/topology.js';
import { withClient } from '../lib/database.js';
import { parseMultihostUrl } from '../lib/multihost-url.js';
import type { RoutingProvider } from '../lib/routing.js';

const LIMITS = [
  'a multi-host address cannot be fenced: sessions with the old primary end when it stops, and clients find the new one at their next connection',
];

/** `password`: of the user that asks the hosts what they are. */
export function createMultihostRouting(
  environment: Pick<EnvironmentConfig, 'routing' | 'nodes' | 'postgres'>,
  password: () => Promise<string | null>,
): RoutingProvider {
  const url = parseMultihostUrl(environment.routing.url);
  const nothing = (): Promise<void> => Promise.resolve();
  return {
    kind: 'multihost',
    label: `multi-host address ${url.hosts.map(({ host, port }) => `${host}:${String(port)}`).join(', ')}`,
    limits: LIMITS,
    open: (timeoutMs) =>
      Promise.resolve({
        servers: () => Promise.all(url.hosts.map((target) => ask(environment, target, password, timeoutMs))),
        fence: nothing,
        route: nothing,
        release: nothing,
        close: nothing,
      }),
  };
}

/** What a client with target_session_attrs=read-write would make of the host. */
async function ask(
  { routing, nodes, postgres }: Pick<EnvironmentConfig, 'routing' | 'nodes' | 'postgres'>,
  target: { host: string; port: number },
  password: () => Promise<string | null>,
  timeoutMs: number,
): Promise<TopologyRouter> {
  const url = parseMultihostUrl(routing.url);
  const server = `${target.host}:${String(target.port)}`;
  const node = nodes.find(({ address, port }) => address === target.host && port === target.port)?.name ?? null;
  const row = (state: TopologyRouter['state'], check: string): TopologyRouter => ({
    instance: 'multihost',
    server,
    node,
    state,
    check,
    sessions: null,
  });
  try {
    const login = {
      user: url.user ?? postgres.user,
      database: url.database ?? postgres.database,
      password: await password(),
    };
    const limits = { plain: true, connectTimeoutMs: timeoutMs, statementTimeoutMs: timeoutMs };
    return await withClient({ ...target, ...login, ...limits }, async (client) => {
      const { rows } = await client.query<{ transaction_read_only: string }>('show transaction_read_only');
      return rows[0]?.transaction_read_only === 'off' ? row('up', 'accepts writes') : row('down', 'is read-only');
    });
  } catch (error) {
    return row('down', error instanceof Error ? error.message : String(error));
  }
}
