/** Evidence that recovery stopped where it was planned (invariant 6): by the log, by position, by transactions, by the heartbeat. */
import type pg from 'pg';

import type { RecoveryPlan, TransactionPoint } from '../../../shared/contracts/plan.js';
import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import type { Lsn } from '../../../shared/lsn.js';
import { compareTimestamps, secondsBetween } from '../../../shared/target-time.js';
import type { EnvironmentConfig } from '../../../config/schema.js';
import { sqlStateOf } from '../../lib/database.js';
import { checkOf, type CheckOutcome } from './evidence.js';
import type { Reached } from './judge-replay.js';
import { textOf } from './server-log.js';

/** The stop by the server's log, and by its position. */
export function stopChecks(plan: RecoveryPlan, reached: Reached | null): EvidenceCheck[] {
  const { stop } = plan;
  const where = stop.kind === 'immediate' ? 'end of the base' : `${stop.inclusive ? 'after' : 'before'} ${stop.lsn}`;
  const logged = reached === null ? 'the log does not say that recovery stopped' : textOf(reached.stop.line);
  const end = expectedEnd(plan);
  const exact = stop.kind === 'immediate' || reached?.stop.lsn === stop.lsn;
  return [
    { check: 'target-reached', expected: `recovery stopped: ${where}`, actual: logged, ok: reached !== null && exact },
    {
      check: 'target-position',
      expected: expectedPosition(plan),
      actual: reached === null ? 'not paused at the target' : `paused at ${reached.lsn}`,
      ok: reached !== null && (end === null || reached.lsn === end),
    },
  ];
}

/** Where the server must stand to the byte: behind the record of the last kept commit. Null when the plan does not know. */
function expectedEnd({ stop, boundary }: RecoveryPlan): Lsn | null {
  if (stop.kind !== 'lsn' || !stop.inclusive || boundary.kept?.lsn !== stop.lsn) return null;
  return boundary.kept.endLsn ?? null;
}

function expectedPosition(plan: RecoveryPlan): string {
  if (plan.stop.kind === 'immediate') return 'paused';
  const end = expectedEnd(plan);
  if (end !== null) return `paused at ${end}`;
  return `paused ${plan.stop.inclusive ? 'past' : 'not past'} ${plan.stop.lsn}`;
}

/** The last kept transaction is committed, the first dropped one is not. */
export async function boundaryChecks(client: pg.Client, plan: RecoveryPlan): Promise<EvidenceCheck[]> {
  const { kept, dropped } = plan.boundary;
  return [
    await checkOf('kept-commit', describe('committed', kept), async () =>
      kept === null
        ? { actual: 'the plan keeps no transaction of the replayed WAL', ok: true }
        : outcomeOf(await xactStatus(client, kept.xid), (status) => status === 'committed'),
    ),
    await checkOf('dropped-commit', describe('not committed', dropped), async () =>
      dropped === null
        ? { actual: 'the archive holds no later transaction', ok: true }
        : outcomeOf(await xactStatus(client, dropped.xid), (status) => status !== 'committed'),
    ),
  ];
}

function describe(wanted: string, point: TransactionPoint | null): string {
  return point === null ? 'nothing to compare' : `transaction ${point.xid} (${point.time}) ${wanted}`;
}

/** Null means that the server has forgotten the transaction: unknown, so not good. */
function outcomeOf(status: string | null, good: (status: string) => boolean): CheckOutcome {
  return status === null
    ? { actual: 'unknown: the server does not remember the transaction', ok: false }
    : { actual: status, ok: good(status) };
}

/**
 * `committed`, `aborted`, `in progress`, `not started` or null. pg_waldump prints 32 bits; pg_xact_status wants 64: the epoch is the one
 * that brings the id nearest to the server's own counter.
 */
async function xactStatus(client: pg.Client, xid: string): Promise<string | null> {
  const next = await client.query<{ next: string }>('select pg_snapshot_xmax(pg_current_snapshot())::text as next');
  const full = nearestFullXid(BigInt(xid), BigInt(next.rows[0]?.next ?? '0'));
  try {
    const { rows } = await client.query<{ status: string | null }>('select pg_xact_status($1::text::xid8) as status', [
      full.toString(),
    ]);
    return rows[0]?.status ?? null;
  } catch (error) {
    // 22023: "transaction ID … is in the future".
    if (sqlStateOf(error) === '22023') return 'not started';
    throw error;
  }
}

/** The 64-bit transaction id with the low 32 bits of `xid` that lies nearest to `next`. */
export function nearestFullXid(xid: bigint, next: bigint): bigint {
  if (xid >> 32n > 0n) return xid;
  const size = 1n << 32n;
  const candidate = (next & ~(size - 1n)) | xid;
  const half = size >> 1n;
  if (candidate - next > half && candidate >= size) return candidate - size;
  if (next - candidate > half) return candidate + size;
  return candidate;
}

/** A heartbeat row is written every few seconds: the last one lies before T, none after it. */
export async function heartbeatCheck(
  client: pg.Client,
  plan: RecoveryPlan,
  heartbeat: EnvironmentConfig['heartbeat'],
): Promise<EvidenceCheck | null> {
  if (!heartbeat.enabled) return null;
  const limit = plan.target.kind === 'time' ? plan.target.value : (plan.boundary.dropped?.time ?? null);
  const expected = limit === null ? 'a heartbeat' : `last heartbeat at or before ${limit}, none after`;
  return checkOf('heartbeat', expected, async () => {
    const there = await client.query<{ there: boolean }>(`select to_regclass('pgr.heartbeat') is not null as there`);
    if (there.rows[0]?.there !== true)
      return { actual: 'there was no heartbeat table at T yet', ok: true, note: 'proves nothing' };
    const { rows } = await client.query<{ last: string | null }>(
      `select to_char(max(at) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as last from pgr.heartbeat`,
    );
    const last = rows[0]?.last ?? null;
    if (last === null) return { actual: 'the heartbeat table was empty at T', ok: true, note: 'proves nothing' };
    if (limit === null) return { actual: `last heartbeat ${last}`, ok: true };
    const note = `${secondsBetween(last, limit).toFixed(1)} s before T; one every ${String(heartbeat.every)} s`;
    return { actual: `last heartbeat ${last}`, ok: compareTimestamps(last, limit) <= 0, note };
  });
}
