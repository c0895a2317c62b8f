/** Which backup a base of the stream is. Its entries carry numbers, not ids; the manifest says of which system and from where to where it is. Pure. */
import type { BaseRef, RecoveryPlan } from '../../../shared/contracts/plan.js';
import { compareLsn, parseLsn } from '../../../shared/lsn.js';
import { stepFailure } from '../../lib/failure.js';

const SYSTEM = /"System-Identifier":\s*(\d+)/;
const RANGE = /"Timeline":\s*(\d+),\s*"Start-LSN":\s*"([^"]+)",\s*"End-LSN":\s*"([^"]+)"/g;

/**
 * Throws IdentityMismatch for a manifest of another system, PreconditionFailed for another backup than the planned one. A backup of PostgreSQL 16
 * or older has no system identifier in its manifest; pg_control of the restored data is compared later in any case.
 */
export function requirePlannedBase(
  manifest: string,
  base: BaseRef,
  plan: Pick<RecoveryPlan, 'systemIdentifier'>,
): void {
  const system = SYSTEM.exec(manifest)?.[1];
  if (system !== undefined && system !== plan.systemIdentifier) {
    throw stepFailure(
      'IdentityMismatch',
      `the controller sends a base of system ${system}, planned is ${plan.systemIdentifier}`,
    );
  }
  const tail = manifest.slice(manifest.lastIndexOf('"WAL-Ranges"'));
  const ranges = [...tail.matchAll(RANGE)].map(([, timeline, start = '', end = '']) => ({
    timeline: Number(timeline),
    start: parseLsn(start),
    end: parseLsn(end),
  }));
  const isPlanned = ranges.some(
    ({ timeline, start, end }) =>
      timeline === base.timeline &&
      start !== null &&
      end !== null &&
      start === base.startLsn &&
      // The list has the end of the backup's last record and filling, the manifest that of its stop record (seen).
      compareLsn(end, base.stopLsn) <= 0,
  );
  if (isPlanned) return;
  const sent = ranges
    .map(({ timeline, start }) => `timeline ${String(timeline)} from ${start ?? 'unknown'}`)
    .join(', ');
  throw stepFailure(
    'PreconditionFailed',
    `the controller sends a base of ${sent === '' ? 'an unknown place' : sent}; planned is ${base.id}, timeline ${String(base.timeline)} from ${base.startLsn}`,
    { hint: 'backups were added or removed since the plan was made: `pgr abort`, then start again' },
  );
}
