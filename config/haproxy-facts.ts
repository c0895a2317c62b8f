/** What the haproxy.cfg of an environment is made of: read from its config. Pure. */
import type { Problem } from '../shared/pgr-failure.js';
import type { Address, HaproxyServer, HaproxyText } from './haproxy-cfg.js';
import type { EnvironmentConfig, HealthConfig, NodeConfig } from './schema.js';

const STATS_PORT = 8404;
const HTTPS_PORT = 443;
const HTTP_PORT = 80;

type Options = { instance?: string; readPort?: number };
type Routing = Extract<EnvironmentConfig['routing'], { kind: 'haproxy' }>;
type Instance = Routing['instances'][number];

/** The facts for one instance (the first when none is named), or what the config lacks. `readPort`: that of the write address plus one when left out. */
export function describeHaproxy(
  name: string,
  environment: EnvironmentConfig,
  options: Options = {},
): { file: HaproxyText } | { problems: Problem[] } {
  const { routing, nodes } = environment;
  const at = (path: string, problem: string): Problem => ({ path: `environments.${name}.${path}`, problem });
  if (routing.kind !== 'haproxy') return { problems: [at('routing.kind', `is ${routing.kind}, not haproxy`)] };
  const instance = routing.instances.find((each) => options.instance === undefined || each.name === options.instance);
  const write = addressOf(routing.url);
  const checks = nodes.flatMap((node) =>
    node.health === undefined ? [] : [{ node, ...checkOf(node.health, node.address) }],
  );
  const [first] = checks;
  const problems = problemsOf(routing, nodes, options).map(({ path, problem }) => at(path, problem));
  if (new Set(checks.map(({ paths }) => JSON.stringify(paths))).size > 1)
    problems.push(at('nodes', 'have health answers at different paths; HAProxy asks one path for a whole backend'));
  if (problems.length > 0 || write === null || instance === undefined || first === undefined) return { problems };
  const read = { host: write.host, port: options.readPort ?? write.port + 1 };
  const servers = checks.map(({ node, check }) => ({
    name: routing.servers[node.name] ?? node.name,
    host: node.address,
    port: node.port,
    check,
  }));
  const own = { instance: instance.name, api: instance.api, stats: statsOf(instance) };
  return { file: { environment: name, backend: routing.backend, write, read, paths: first.paths, servers, ...own } };
}

function problemsOf(routing: Routing, nodes: readonly NodeConfig[], { instance }: Options): Problem[] {
  const problems = nodes.flatMap((node, index) =>
    node.health === undefined
      ? [{ path: `nodes[${String(index)}].health`, problem: 'is missing; a router cannot tell a primary without it' }]
      : [],
  );
  if (addressOf(routing.url) === null)
    problems.push({ path: 'routing.url', problem: 'names several hosts; the write VIP is one' });
  if (instance !== undefined && !routing.instances.some((each) => each.name === instance)) {
    const names = routing.instances.map((each) => each.name).join(', ');
    problems.push({ path: 'routing.instances', problem: `has no ${instance}; there are ${names}` });
  }
  return problems;
}

function statsOf({ stats }: Instance): HaproxyText['stats'] {
  if (stats === undefined) return { host: '127.0.0.1', port: STATS_PORT, path: '/stats' };
  const url = new URL(stats);
  return { host: url.hostname, port: Number(url.port || HTTP_PORT), path: url.pathname };
}

/** One host and port of the write URL; null when there are several. */
function addressOf(url: string): Address | null {
  const authority = /^[a-z]+:\/\/(?:[^@/?]*@)?([^/?]*)/.exec(url)?.[1] ?? '';
  const match = /^(?:\[([^\]]+)\]|([^:,]*))(?::(\d+))?$/.exec(authority);
  return match === null ? null : { host: match[1] ?? match[2] ?? '', port: Number(match[3] ?? 5432) };
}

type Check = { check: HaproxyServer['check']; paths: HaproxyText['paths'] };

function checkOf(health: HealthConfig, nodeAddress: string): Check {
  if (health.kind === 'pgr') {
    // pg-health that listens on every address is asked at that of the node.
    const host = health.listen === '0.0.0.0' || health.listen === '::' ? nodeAddress : health.listen;
    return { check: { host, port: health.port, tls: false }, paths: { primary: '/primary', replica: '/replica' } };
  }
  const primary = new URL(health.kind === 'http' ? health.primary : `${health.url.replace(/\/+$/, '')}/primary`);
  const replica = health.kind === 'http' ? health.replica : `${health.url.replace(/\/+$/, '')}/replica`;
  const tls = primary.protocol === 'https:';
  return {
    check: { host: primary.hostname, port: Number(primary.port || (tls ? HTTPS_PORT : HTTP_PORT)), tls },
    paths: {
      primary: `${primary.pathname}${primary.search}`,
      replica: replica === undefined ? '/replica' : new URL(replica).pathname,
    },
  };
}
