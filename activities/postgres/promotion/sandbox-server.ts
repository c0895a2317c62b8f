/** What the paused server of a sandbox says about itself. */
import { parseLsn, type Lsn } from '../../../shared/lsn.js';
import { withClient } from '../../lib/database.js';
import type { SandboxMarker } from '../sandbox/marker.js';
import type { SandboxPlace } from '../sandbox/place.js';

export type SandboxServer = {
  inRecovery: boolean;
  /** `not paused`, `pause requested` or `paused`; null when it is not in recovery. */
  pauseState: string | null;
  replayLsn: Lsn | null;
  systemIdentifier: string;
};

/** Asks over the private socket of the sandbox. Throws DatabaseUnavailable when it does not answer. */
export async function readSandboxServer(sandbox: SandboxPlace, marker: SandboxMarker): Promise<SandboxServer> {
  const { user, database } = sandbox.environment.postgres;
  const address = { host: marker.socketDir, port: marker.port, user, database, password: null };
  return withClient(address, async (client) => {
    const { rows } = await client.query<Record<'pause' | 'lsn', string | null> & { recovery: boolean; system: string }>(
      `select pg_is_in_recovery() as recovery, pg_last_wal_replay_lsn()::text as lsn, system_identifier::text as system,
              case when pg_is_in_recovery() then pg_get_wal_replay_pause_state() end as pause
         from pg_control_system()`,
    );
    const row = rows[0];
    return {
      inRecovery: row?.recovery ?? false,
      pauseState: row?.pause ?? null,
      replayLsn: parseLsn(row?.lsn ?? ''),
      systemIdentifier: row?.system ?? '',
    };
  });
}
