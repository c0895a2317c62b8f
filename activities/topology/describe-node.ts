/** From the answers of the servers to rows of the topology. Pure. */
import type { NodeConfig } from '../../config/schema.js';
import type { NodeHealth, NodeRole, TopologyNode, TopologySlot } from '../../shared/contracts/topology.js';
import { lsnDistanceBytes, parseLsn, type Lsn } from '../../shared/lsn.js';
import type { NodeLook, ServerAnswer, WalSender } from './ask-node.js';

export type LookedAt = { node: NodeConfig; look: NodeLook };

/** What the lag of the others is measured by; null when none or more than one takes writes. */
function onlyPrimary(looks: readonly LookedAt[]): ServerAnswer | null {
  const primaries = looks.flatMap(({ look }) =>
    look.outcome === 'answered' && !look.server.inRecovery ? [look.server] : [],
  );
  return primaries.length === 1 ? (primaries[0] ?? null) : null;
}

/** Role of a node as its own server says it. */
export function roleOf(look: NodeLook): NodeRole {
  if (look.outcome !== 'answered') return look.outcome;
  return look.server.inRecovery ? 'standby' : 'primary';
}

/** One row. `health` is what its health page says. */
export function describeNode(
  { node, look }: LookedAt,
  all: readonly LookedAt[],
  health: NodeHealth | null,
): TopologyNode {
  const { name, host, address, port } = node;
  const place = { name, host, address, port, role: roleOf(look), health };
  if (look.outcome !== 'answered') return { ...place, ...NOTHING_KNOWN, why: look.why };
  const { server } = look;
  const lagBytes = server.inRecovery ? lagOf(server, onlyPrimary(all)) : null;
  return {
    ...place,
    why: null,
    timeline: server.timeline,
    lsn: lsnOf(server.lsn),
    receiveLsn: lsnOf(server.receiveLsn),
    replayLsn: lsnOf(server.replayLsn),
    lagBytes,
    lagSeconds: server.inRecovery && lagBytes !== 0 ? server.replayAgeSeconds : null,
    systemIdentifier: server.systemIdentifier,
    version: server.version,
    receiver: server.receiver,
    sync: server.inRecovery ? syncOf(name, server, all) : null,
    slot: server.inRecovery && server.slotName !== '' ? server.slotName : null,
    acceptsWrites: !server.inRecovery && !server.readOnly,
    replayPaused: server.replayPaused,
    pendingRestart: server.pendingRestart,
  };
}

const NOTHING_KNOWN = {
  timeline: null,
  lsn: null,
  receiveLsn: null,
  replayLsn: null,
  lagBytes: null,
  lagSeconds: null,
  systemIdentifier: null,
  version: null,
  receiver: null,
  sync: null,
  slot: null,
  acceptsWrites: null,
  replayPaused: false,
  pendingRestart: [],
};

/**
 * Behind the LSN that the primary itself gave in the same look, so it grows also when nothing streams any more (a lag that a standby measures
 * by what it has received stays at zero then). Positions of two systems or timelines have nothing to do with each other: unknown.
 */
function lagOf(standby: ServerAnswer, primary: ServerAnswer | null): number | null {
  const at = lsnOf(standby.replayLsn);
  const end = lsnOf(primary?.lsn ?? null);
  if (primary === null || at === null || end === null) return null;
  if (standby.systemIdentifier !== primary.systemIdentifier || standby.timeline !== primary.timeline) return null;
  // Both were asked at once: the standby may have been asked a moment later.
  return Math.max(0, lsnDistanceBytes(at, end));
}

function lsnOf(text: string | null): Lsn | null {
  return text === null ? null : parseLsn(text);
}

/** `application_name sync_state` of the sender that serves a standby: by its slot, else by its name, else when it can be no other one. */
function syncOf(name: string, standby: ServerAnswer, all: readonly LookedAt[]): string | null {
  const servers = all.flatMap(({ look }) => (look.outcome === 'answered' ? [look.server] : []));
  const senders = servers.filter((server) => !server.inRecovery).flatMap((server) => server.senders);
  const names = [applicationNameOf(standby.receiverConninfo), standby.clusterName, name];
  const standbys = servers.filter((server) => server.inRecovery && server.receiver !== null);
  const found =
    senders.find(({ slot }) => slot !== null && slot === standby.slotName) ??
    onlyOne(senders.filter(({ applicationName }) => names.includes(applicationName))) ??
    (standbys.length === 1 && standby.receiver !== null ? onlyOne(senders) : undefined);
  return found === undefined ? null : `${found.applicationName} ${found.sync ?? 'unknown'}`;
}

function onlyOne(senders: readonly WalSender[]): WalSender | undefined {
  return senders.length === 1 ? senders[0] : undefined;
}

/** libpq's application_name of a receiver; the server adds its own as fallback_application_name. */
function applicationNameOf(conninfo: string | null): string | null {
  const match = /(?:^|\s)application_name=(?:'((?:[^'\\]|\\.)*)'|(\S+))/.exec(conninfo ?? '');
  return match?.[1] ?? match?.[2] ?? null;
}

/** Slots of every node that answered, but not the copies that standbys keep of logical slots. */
export function describeSlots(looks: readonly LookedAt[]): TopologySlot[] {
  return looks.flatMap(({ node, look }) =>
    look.outcome !== 'answered'
      ? []
      : look.server.slots
          .filter(({ synced }) => !synced)
          .map(({ slot, type, active, retainedBytes, walStatus, failover }) => ({
            node: node.name,
            slot,
            type,
            active,
            retainedBytes: retainedBytes === null ? null : Math.max(0, retainedBytes),
            walStatus,
            failover,
          })),
  );
}
