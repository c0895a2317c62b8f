/** Rules about the nodes themselves. Pure. */
import type { TopologyNode } from '../../shared/contracts/topology.js';
import { listed, primariesOf, type Contradiction, type Rule, type Seen } from './contradiction-rule.js';

/** In the order in which they are shown. */
export const nodeRules: readonly Rule[] = [
  onePrimary,
  eachNode(doesNotAnswer),
  eachNode(readOnlyPrimary),
  eachStandby(otherSystem),
  eachStandby(otherTimeline),
  eachStandby(notStreaming),
  eachStandby(unknownLag),
  eachStandby(pausedReplay),
  eachNode(healthDisagrees),
  eachNode(pendingRestart),
];

type NodeRule = (node: TopologyNode, seen: Seen) => Contradiction | null;

function eachNode(rule: NodeRule): Rule {
  return (seen) => seen.nodes.flatMap((node) => rule(node, seen) ?? []);
}

function eachStandby(rule: NodeRule): Rule {
  return eachNode((node, seen) => (node.role === 'standby' ? rule(node, seen) : null));
}

function onePrimary(seen: Seen): Contradiction[] {
  const primaries = primariesOf(seen);
  const names = primaries.map(({ name }) => name);
  if (names.length === 1) return [];
  if (names.length > 1) {
    return [twoPrimaries(names, seen)];
  }
  const silent = seen.nodes.filter(({ role }) => role === 'unknown').map(({ name }) => name);
  const doubt =
    silent.length === 0
      ? ''
      : `; ${listed(silent)} may be one: ${silent.length === 1 ? 'it does' : 'they do'} not answer`;
  return [
    {
      text: `no primary${doubt}`,
      advice: `bring the old primary back, or give writes to a standby: \`pgr flip-db ${seen.environment} --failover\``,
    },
  ];
}

function twoPrimaries(names: readonly string[], { writeVip, environment, nodes }: Seen): Contradiction {
  const others = names.filter((name) => name !== writeVip.owner);
  const all = names.length === 2 ? 'both' : 'all';
  const allWrite = nodes.every(({ name, acceptsWrites }) => !names.includes(name) || acceptsWrites === true);
  return {
    text: `${String(names.length)} primaries: ${listed(names)} ${allWrite ? `${all} take writes` : `are ${all} primary`}`,
    advice:
      writeVip.owner !== null && others.length < names.length
        ? `applications write to ${writeVip.owner}: stop ${listed(others)} now, then \`pgr rebuild-standby ${environment} ${others[0] ?? ''}\``
        : 'find out which one applications write to, and stop every other one before anything else',
  };
}

function doesNotAnswer(node: TopologyNode, { environment }: Seen): Contradiction | null {
  const { name, host, role } = node;
  const why = node.why ?? 'no reason given';
  if (role === 'down') {
    return {
      text: `${name} is down: ${why}`,
      advice: `look at its server log on host ${host} and start it; if its data are lost: \`pgr rebuild-standby ${environment} ${name}\``,
    };
  }
  if (role !== 'unknown') return null;
  return {
    text: `the state of ${name} is unknown: ${why}`,
    advice: `look at host ${host} and the network to it; do not take it for off before you have seen that`,
  };
}

function readOnlyPrimary(node: TopologyNode): Contradiction | null {
  if (node.role !== 'primary' || node.acceptsWrites !== false) return null;
  return {
    text: `${node.name} is the primary and refuses writes: default_transaction_read_only is on`,
    advice: `on ${node.name}: alter system reset default_transaction_read_only; select pg_reload_conf()`,
  };
}

/** The one primary, else the first node that answered: something to compare with. */
function reference(node: TopologyNode, seen: Seen): TopologyNode | null {
  const [primary, ...more] = primariesOf(seen);
  if (primary !== undefined && more.length === 0) return primary;
  const first = seen.nodes.find(({ systemIdentifier }) => systemIdentifier !== null);
  return first === undefined || first.name === node.name ? null : first;
}

function otherSystem(node: TopologyNode, seen: Seen): Contradiction | null {
  const other = reference(node, seen);
  if (other === null || node.systemIdentifier === null || other.systemIdentifier === null) return null;
  if (node.systemIdentifier === other.systemIdentifier) return null;
  return {
    text: `${node.name} is a standby of another system (${node.systemIdentifier}) than ${other.name} (${other.systemIdentifier})`,
    advice: `check address and port of ${node.name} in the config; if it is the right one: \`pgr rebuild-standby ${seen.environment} ${node.name}\``,
  };
}

function otherTimeline(node: TopologyNode, seen: Seen): Contradiction | null {
  const other = reference(node, seen);
  if (other?.role !== 'primary' || node.timeline === null || other.timeline === null) return null;
  if (node.timeline === other.timeline || node.systemIdentifier !== other.systemIdentifier) return null;
  const place = node.timeline < other.timeline ? 'behind' : 'ahead of';
  return {
    text: `${node.name} is on timeline ${String(node.timeline)}, ${place} ${other.name} on timeline ${String(other.timeline)}`,
    advice: `if it does not follow within seconds: \`pgr rebuild-standby ${seen.environment} ${node.name}\``,
  };
}

function notStreaming(node: TopologyNode, seen: Seen): Contradiction | null {
  if (node.receiver === 'streaming') return null;
  if (node.receiver === 'hidden') {
    return {
      text: `whether ${node.name} streams is hidden from the role that asks`,
      advice: 'grant pg_monitor to the user of the config',
    };
  }
  const how = node.receiver === null ? 'it has no WAL receiver' : `its WAL receiver is ${node.receiver}`;
  return {
    text: `${node.name} does not stream: ${how}`,
    advice: `read its server log and primary_conninfo on host ${node.host}; if WAL that it needs is gone: \`pgr rebuild-standby ${seen.environment} ${node.name}\``,
  };
}

function unknownLag(node: TopologyNode, seen: Seen): Contradiction | null {
  if (node.lagBytes !== null) return null;
  const why =
    primariesOf(seen).length === 1 ? 'its position cannot be compared' : 'there is no one primary to compare with';
  return {
    text: `how far ${node.name} is behind is unknown: ${why}`,
    advice: 'unknown is not zero: do not promote it before the lines above are mended',
  };
}

function pausedReplay(node: TopologyNode): Contradiction | null {
  if (!node.replayPaused) return null;
  return { text: `replay is paused on ${node.name}`, advice: `on ${node.name}: select pg_wal_replay_resume()` };
}

/** A health page decides where routers send writes, so it must say what the server says. */
function healthDisagrees(node: TopologyNode): Contradiction | null {
  const { name, role, health } = node;
  if (health === null || health === role) return null;
  const answered = role === 'primary' || role === 'standby';
  if (health === 'fenced') {
    // A dead primary that was fenced is as it should be.
    if (!answered) return null;
    return {
      text: `${name} is fenced (its server says: ${role})`,
      advice:
        'a flip that goes on removes the fence by itself; one that nobody needs any more is the file that /health of pg-health names',
    };
  }
  if (health === 'unknown') {
    if (!answered) return null;
    return {
      text: `the health page of ${name} does not answer: routers will take it for down`,
      advice: `start it on host ${node.host}: \`pgr pg-health --node ${name}\``,
    };
  }
  if (!answered && health === 'down') return null;
  return {
    text: `the health page of ${name} says ${health}, its server ${answered ? `is ${role}` : 'does not answer'}`,
    advice: `ask both again; if it stays: look at the log of the health page on host ${node.host}`,
  };
}

function pendingRestart(node: TopologyNode): Contradiction | null {
  if (node.pendingRestart.length === 0) return null;
  return {
    text: `${node.name} waits for a restart to take over ${listed(node.pendingRestart)}`,
    advice: 'restart it at a quiet time, or a flip changes these settings with it',
  };
}
