/** What becomes of the logical slots of the old primary. Pure. */
import type { FlipPlan } from '../../../shared/contracts/flip.js';
import type { SlotFact } from './preflight-facts.js';

/**
 * Failover slots that the candidate has synchronised are kept; everything else is lost with the old primary's role (PostgreSQL docs, "Replication Slot
 * Synchronization").
 */
export function logicalSlotFates(from: readonly SlotFact[], to: readonly SlotFact[]): FlipPlan['logicalSlots'] {
  return from
    .filter((slot) => slot.slot_type === 'logical' && !slot.temporary)
    .map((slot) => {
      const copy = to.find(({ slot_name }) => slot_name === slot.slot_name);
      const why = whyLost(slot, copy);
      return {
        name: slot.slot_name,
        becomes: why === null ? 'kept' : 'lost',
        why: why ?? 'synchronised to the candidate',
      };
    });
}

function whyLost(slot: SlotFact, copy: SlotFact | undefined): string | null {
  if (slot.failover !== true) return 'it was not made with failover = true';
  if (copy?.synced !== true) return 'the candidate has not synchronised it (sync_replication_slots)';
  if (copy.temporary) return 'its copy on the candidate is not ready yet';
  const reason = copy.invalidation_reason ?? null;
  return reason === null ? null : `its copy on the candidate is invalid: ${reason}`;
}
