/** Rules of the queue in which notices wait for a channel. Pure. */
import type { Notice } from './contracts/notices.js';

const FIRST_DELAY_SECONDS = 2;
/** A service that was down is found again within this. */
const LONGEST_DELAY_SECONDS = 300;

/** Seconds before the next attempt: 2, 4, 8 … 300, or what the service asked for when that is longer. `attempt` counts from 1. */
export function nextDelaySeconds(attempt: number, askedForSeconds: number | null): number {
  const own = Math.min(FIRST_DELAY_SECONDS * 2 ** (attempt - 1), LONGEST_DELAY_SECONDS);
  return Math.max(own, askedForSeconds ?? 0);
}

/** Nobody wants ten reminders of what a later notice says again: those that have waited behind a dead service are left out. */
export function isOvertaken(notice: Notice, later: readonly Notice[]): boolean {
  switch (notice.event) {
    case 'gate-reminder':
      return (
        later.some(
          (one) => (one.event === 'gate-reminder' || one.event === 'gate-closed') && one.gate === notice.gate,
        ) || later.some((one) => one.event === 'ended' || one.event === 'gate-expired')
      );
    case 'still-down':
      return later.some(({ event }) => event === 'still-down' || event === 'service-restored' || event === 'ended');
    default:
      return false;
  }
}
