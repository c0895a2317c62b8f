/** Whether a standby follows its primary, asked of both of them. */
import type { ActivityDeps } from '../../lib/deps.js';
import { isFailureOf } from '../../lib/failure.js';
import { connectNode } from '../connection.js';

export type Streaming = {
  inRecovery: boolean;
  systemIdentifier: string;
  /** `streaming` while the WAL receiver gets WAL; null when there is none. */
  receiver: string | null;
  receivedTimeline: number | null;
  replayLsn: string | null;
};

export type PrimaryPosition = { systemIdentifier: string; inRecovery: boolean; timeline: number; lsn: string | null };

/** The standby's side; null when it does not answer. */
export async function readStreaming(deps: ActivityDeps, environment: string, node: string): Promise<Streaming | null> {
  try {
    return await connectNode(deps, environment, node, { connectTimeoutMs: 3_000 }, async (client) => {
      const { rows } = await client.query<Streaming>(
        `select pg_is_in_recovery() as "inRecovery", s.system_identifier::text as "systemIdentifier", r.status as receiver,
                r.received_tli as "receivedTimeline", pg_last_wal_replay_lsn()::text as "replayLsn"
           from pg_control_system() s left join pg_stat_wal_receiver r on true`,
      );
      return rows[0] ?? null;
    });
  } catch (error) {
    if (isFailureOf(error, 'DatabaseUnavailable')) return null;
    throw error;
  }
}

/** The primary's side. */
export async function readPrimaryPosition(
  deps: ActivityDeps,
  environment: string,
  node: string,
): Promise<PrimaryPosition> {
  return connectNode(deps, environment, node, {}, async (client) => {
    const { rows } = await client.query<PrimaryPosition>(
      `select system_identifier::text as "systemIdentifier", pg_is_in_recovery() as "inRecovery",
              case when not pg_is_in_recovery() then pg_current_wal_lsn()::text end as lsn,
              case when pg_is_in_recovery() then 0
                   else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end as timeline
         from pg_control_system()`,
    );
    return rows[0] ?? { systemIdentifier: '', inRecovery: true, timeline: 0, lsn: null };
  });
}
