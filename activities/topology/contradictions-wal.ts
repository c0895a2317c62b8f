/** Rules about slots and the archive. Pure. */
import type { TopologySlot } from '../../shared/contracts/topology.js';
import { primariesOf, type Contradiction, type Rule, type Seen } from './contradiction-rule.js';

/** In the order in which they are shown. */
export const walRules: readonly Rule[] = [missingSlots, slots, archive];

/** 64 segments: a standby that is so far behind has not just been restarted. */
const MUCH_WAL_BYTES = 1024 * 1024 * 1024;

/** A standby names a slot that no node has: its primary may remove WAL that it needs. */
function missingSlots(seen: Seen): Contradiction[] {
  const [primary, ...more] = primariesOf(seen);
  if (primary === undefined || more.length > 0) return [];
  return seen.nodes.flatMap(({ name, role, slot }) => {
    if (role !== 'standby' || slot === null) return [];
    if (seen.slots.some((one) => one.slot === slot && one.node !== name)) return [];
    return [
      {
        text: `slot ${slot} of ${name} is missing on ${primary.name}`,
        advice: `on ${primary.name}: select pg_create_physical_replication_slot('${slot}', true)`,
      },
    ];
  });
}

function slots(seen: Seen): Contradiction[] {
  return seen.slots.flatMap((slot) => {
    const text = troubleOf(slot);
    if (text === null) return [];
    const drop = `on ${slot.node}: select pg_drop_replication_slot('${slot.slot}')`;
    return [{ text, advice: `bring its reader back; if there is none any more, ${drop}` }];
  });
}

function troubleOf({ node, slot, active, walStatus, retainedBytes }: TopologySlot): string | null {
  const name = `slot ${slot} on ${node}`;
  if (walStatus === 'lost') return `${name} is lost: WAL that it needs is removed, its reader must be rebuilt`;
  if (walStatus === 'unreserved') return `${name} is about to be lost: it is over max_slot_wal_keep_size`;
  if (retainedBytes === null) return null;
  const kept = `${megabytes(retainedBytes)} of WAL`;
  if (!active) return `${name} is inactive and keeps ${kept}`;
  return retainedBytes > MUCH_WAL_BYTES ? `${name} keeps ${kept}` : null;
}

function megabytes(bytes: number): string {
  return `${String(Math.round(bytes / 1e6))} MB`;
}

function archive({ archiver, environment }: Seen): Contradiction[] {
  if (archiver?.failing !== true) return [];
  const { node, lastFailed, lastArchived } = archiver;
  return [
    {
      text: `${node} fails to archive ${lastFailed ?? 'a file'} (last archived: ${lastArchived ?? 'nothing'})`,
      advice: `read the server log of ${node} and run \`pgr check ${environment}\`: what is not archived cannot be recovered`,
    },
  ];
}
