/** Rules about the write address, routers and poolers. Pure. */
import type { TopologyRouter } from '../../shared/contracts/topology.js';
import { listed, primariesOf, type Contradiction, type Rule, type Seen } from './contradiction-rule.js';

/** In the order in which they are shown. */
export const routingRules: readonly Rule[] = [writeAddress, unansweredRouters, wrongServers, primaryShutOut, poolers];

function writeAddress(seen: Seen): Contradiction[] {
  const { owner, probe } = seen.writeVip;
  const node = seen.nodes.find(({ name }) => name === owner);
  const mend = 'see the routers below and the health pages; a planned change of the owner is `pgr flip-db`';
  if (node?.role === 'standby') return [{ text: `the write address leads to ${node.name}, a standby`, advice: mend }];
  if (!probe.ok) {
    const what = owner === null ? 'the write address' : `the write address (it leads to ${owner})`;
    return [{ text: `${what} refused the write probe: ${probe.why ?? 'no reason given'}`, advice: mend }];
  }
  if (node === undefined) {
    return [
      {
        text: 'the write address leads to a server that is none of the nodes',
        advice: 'stop whatever writes through it until you know which server that is; then correct the config',
      },
    ];
  }
  if (node.role === 'primary') return [];
  return [
    {
      text: `the owner of the write address, ${node.name}, is not seen to be the primary`,
      advice: 'ask again; it may be restarting',
    },
  ];
}

function byInstance(routers: readonly TopologyRouter[]): Map<string, TopologyRouter[]> {
  const groups = new Map<string, TopologyRouter[]>();
  for (const router of routers) groups.set(router.instance, [...(groups.get(router.instance) ?? []), router]);
  return groups;
}

function unansweredRouters({ routers }: Seen): Contradiction[] {
  const silent = routers.filter(({ state }) => state === 'unknown');
  return [...byInstance(silent)].map(([instance, servers]) => ({
    text: `what router ${instance} does is unknown: ${[...new Set(servers.map(({ check }) => check))].join('; ')}`,
    advice: 'look at the router; a flip needs its answer',
  }));
}

/** The hosts of a multi-host address are the nodes themselves, by names that the config may not know: their own answers and the probe say it all. */
function proxies({ routers }: Seen): Map<string, TopologyRouter[]> {
  return byInstance(routers.filter(({ instance }) => instance !== 'multihost'));
}

/** A router may call one server up: the primary. */
function wrongServers(seen: Seen): Contradiction[] {
  return [...proxies(seen)].flatMap(([instance, servers]) => {
    const up = servers.filter(({ state }) => state === 'up');
    const wrong = up.flatMap((server): Contradiction[] => {
      const node = seen.nodes.find(({ name }) => name === server.node);
      if (node?.role === 'primary') return [];
      const what =
        node === undefined
          ? 'no node of the config'
          : node.role === 'standby'
            ? 'a standby'
            : `a node that is ${node.role}`;
      return [
        {
          text: `router ${instance} says up for ${server.server}, which is ${what}`,
          advice: `the check of its backend must ask /primary: see \`pgr config haproxy ${seen.environment}\``,
        },
      ];
    });
    const several = {
      text: `router ${instance} has ${String(up.length)} servers up: ${listed(up.map(({ server }) => server))}`,
      advice: 'writes go to all of them: set all but the primary to maint now',
    };
    return up.length > 1 ? [several, ...wrong] : wrong;
  });
}

/** The primary must be up at every router that answers. */
function primaryShutOut(seen: Seen): Contradiction[] {
  const primaries = primariesOf(seen).map(({ name }) => name);
  const [primary] = primaries;
  return [...proxies(seen)].flatMap(([instance, servers]) => {
    if (servers.some(({ state }) => state === 'up' || state === 'unknown')) return [];
    const own = servers.find(({ node }) => node !== null && node === primary);
    if (own === undefined || primaries.length !== 1)
      return [
        {
          text: `router ${instance} has no server up`,
          advice: 'it becomes right when one node is primary and its health page says so',
        },
      ];
    const check = own.check === '' ? '' : ` (${own.check})`;
    return [
      {
        text: `router ${instance} holds the primary ${own.server} for ${own.state}${check}`,
        advice:
          own.state === 'maint' || own.state === 'drain'
            ? `a person or a flip did that; to let its check decide again: set server BACKEND/${own.server} state ready`
            : `ask the health page of ${own.node ?? own.server}, and look at the network between them`,
      },
    ];
  });
}

function poolers(seen: Seen): Contradiction[] {
  return seen.poolers.flatMap(({ name, state, why, waiting }) => {
    if (state === 'active') return [];
    const clients = waiting === null ? '' : `, ${String(waiting)} clients wait`;
    if (state === 'paused')
      return [
        {
          text: `pooler ${name} is paused${clients}`,
          advice: 'unless a flip is on its way, RESUME it in its admin console',
        },
      ];
    return [
      {
        text: `the state of pooler ${name} is unknown: ${why ?? 'no reason given'}`,
        advice: 'look at the pooler; a flip needs its answer',
      },
    ];
  });
}
