/** Routing provider `haproxy`: the write VIP is one or several HAProxies, told what to do through their runtime API (architecture section 10). */
import type { EnvironmentConfig, HaproxyConfig } from '../../config/schema.js';
import type { TopologyRouter } from '../../shared/contracts/topology.js';
import { stepFailure } from '../lib/failure.js';
import type { RoutingProvider, RoutingSession } from '../lib/routing.js';
import { openRuntimeApi, type RuntimeApi } from './haproxy-api.js';
import { fenceServer, readServers, releaseServer, requireCommand, routeTo, type Instance } from './haproxy-instance.js';
import { checkOf, parseStat, serversOf, sessionsOf, stateOf } from './haproxy-stat.js';

type Routing = Extract<EnvironmentConfig['routing'], { kind: 'haproxy' }>;
/** Null for an instance that did not answer a lenient `open`, with the reason. */
type Opened = { config: HaproxyConfig; instance: Instance | null; why: unknown };

/** A round trip takes under a millisecond; two seconds are for a machine that swaps. */
const LONGEST_CALL_MS = 2_000;

const LIMITS = [
  'sessions that an HAProxy process keeps from before a reload are out of reach of a fence: they end when their server stops, or after hard-stop-after',
];

export function createHaproxyRouting(routing: Routing, nodes: readonly string[]): RoutingProvider {
  const serverOf = (node: string): string => routing.servers[node] ?? node;
  return {
    kind: 'haproxy',
    label: `haproxy ${routing.instances.map(({ name }) => name).join(', ')}`,
    limits: LIMITS,
    async open(timeoutMs, options = {}) {
      const bound = Math.min(timeoutMs, LONGEST_CALL_MS);
      const servers = nodes.map(serverOf);
      const opened = await Promise.all(
        routing.instances.map((config) => openInstance(routing, config, bound, servers)),
      );
      const failed = opened.filter(({ instance }) => instance === null);
      if (failed.length > 0 && options.lenient !== true) {
        for (const { instance } of opened) instance?.api.close();
        throw together(
          failed.map(({ config, why }) => ({ name: config.name, why })),
          opened.length,
        );
      }
      return sessionOf(routing, opened, nodes, bound);
    },
  };
}

async function openInstance(
  routing: Routing,
  config: HaproxyConfig,
  timeoutMs: number,
  servers: readonly string[],
): Promise<Opened> {
  let api: RuntimeApi | null = null;
  try {
    api = await openRuntimeApi({ instance: config.name, api: config.api, timeoutMs });
    const instance = { name: config.name, backend: routing.backend, api, timeoutMs };
    await requireCommand(instance, servers);
    return { config, instance, why: null };
  } catch (why) {
    api?.close();
    return { config, instance: null, why };
  }
}

function sessionOf(
  routing: Routing,
  opened: readonly Opened[],
  nodes: readonly string[],
  timeoutMs: number,
): RoutingSession {
  const serverOf = (node: string): string => routing.servers[node] ?? node;
  const nodeOf = (server: string): string | null => nodes.find((node) => serverOf(node) === server) ?? null;
  /** On all at once; one that fails is named, and the others have done it all the same. */
  const onAll = async (act: (instance: Instance) => Promise<void>): Promise<void> => {
    const outcomes = await Promise.allSettled(
      opened.map(async ({ instance, why }) => {
        if (instance === null) throw why;
        await act(instance);
      }),
    );
    const failed = outcomes.flatMap((outcome, index) =>
      outcome.status === 'rejected' ? [{ name: opened[index]?.config.name ?? '', why: outcome.reason as unknown }] : [],
    );
    if (failed.length > 0) throw together(failed, opened.length);
  };
  return {
    servers: async () =>
      (await Promise.all(opened.map((each) => look(each, routing.backend, nodes.map(serverOf), timeoutMs))))
        .flat()
        .map((row) => ({ ...row, node: nodeOf(row.server) })),
    fence: (node) => onAll((instance) => fenceServer(instance, serverOf(node))),
    route: (node) => onAll((instance) => routeTo(instance, serverOf(node))),
    release: (node) => onAll((instance) => releaseServer(instance, serverOf(node))),
    close: () => {
      for (const { instance } of opened) instance?.api.close();
      return Promise.resolve();
    },
  };
}

type Row = Omit<TopologyRouter, 'node'>;

/** What one instance says; its statistics page when the runtime API does not answer; `unknown` when neither does. Never fails. */
async function look(
  { config, instance, why }: Opened,
  backend: string,
  servers: readonly string[],
  timeoutMs: number,
): Promise<Row[]> {
  let reason = why;
  if (instance !== null) {
    try {
      return [...(await readServers(instance))].map(([server, seen]) => ({ instance: config.name, server, ...seen }));
    } catch (error) {
      reason = error;
    }
  }
  try {
    if (config.stats !== undefined) return await readStatsPage(config.name, config.stats, backend, timeoutMs);
  } catch {
    // The reason that the runtime API gave is the one to mend.
  }
  return servers.map((server) => ({
    instance: config.name,
    server,
    state: 'unknown',
    check: textOf(reason),
    sessions: null,
  }));
}

async function readStatsPage(instance: string, stats: string, backend: string, timeoutMs: number): Promise<Row[]> {
  const answer = await fetch(`${stats.replace(/;csv$/, '')};csv`, { signal: AbortSignal.timeout(timeoutMs) });
  const rows = answer.ok ? parseStat(await answer.text()) : null;
  const servers = serversOf(rows ?? [], backend);
  if (servers.length === 0) throw new Error('no statistics there');
  return servers.map((row) => ({
    instance,
    server: row['svname'] ?? '',
    state: stateOf(row),
    check: `${checkOf(row)} (statistics page; the runtime API does not answer)`,
    sessions: sessionsOf(row),
  }));
}

/** One failure for several instances: of the first one's type, with what each said. */
function together(failed: readonly { name: string; why: unknown }[], all: number): unknown {
  const [first] = failed;
  if (first === undefined || all === 1) return first?.why;
  const texts = failed.map(({ why }) => textOf(why)).join('; ');
  const others = all - failed.length;
  const rest = others === 0 ? '' : ` (the other ${String(others)} did it)`;
  return stepFailure('RoutingUnavailable', `${texts}${rest}`, { cause: first.why });
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
