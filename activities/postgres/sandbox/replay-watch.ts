/** Looks at the recovery of a sandbox: a state that is read, never an exit code (`pg_ctl` returns 0 for a recovery about to fail). */
import { ApplicationFailure } from '@temporalio/common';

import { parseLsn, type Lsn } from '../../../shared/lsn.js';
import { readPostmaster } from '../postmaster.js';
import type { SandboxMarker } from './marker.js';
import type { SandboxPlace } from './place.js';
import { openSession, sandboxAddress, type KeptSession } from './session.js';

export type ReplaySight =
  | { kind: 'starting' }
  | { kind: 'replaying' | 'paused'; lsn: Lsn | null; clock: string | null }
  | { kind: 'not-in-recovery' }
  | { kind: 'stopped'; why: string };

export type ReplayWatch = {
  look(): Promise<ReplaySight>;
  close(): Promise<void>;
};

const LOOK = `select r as recovering,
  case when r then pg_get_wal_replay_pause_state() end as pause,
  pg_last_wal_replay_lsn()::text as lsn,
  to_char(pg_last_xact_replay_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as clock
  from pg_is_in_recovery() r`;

type LookRow = { recovering: boolean; pause: string | null; lsn: string | null; clock: string | null };

/** Keeps one session; a lost one is opened again. Close it when done. */
export function watchReplay(place: SandboxPlace, marker: SandboxMarker): ReplayWatch {
  let session: KeptSession | null = null;
  const drop = async (): Promise<void> => {
    const old = session;
    session = null;
    await old?.close();
  };
  return {
    close: drop,
    async look() {
      try {
        session ??= await openSession(sandboxAddress(place, marker));
        const { rows } = await session.client.query<LookRow>(LOOK);
        return sightOf(rows[0]);
      } catch (error) {
        await drop();
        // A role or database that is not there will not appear by waiting.
        if (error instanceof ApplicationFailure && error.type !== 'DatabaseUnavailable') throw error;
        return sightOfProcess(place);
      }
    },
  };
}

function sightOf(row: LookRow | undefined): ReplaySight {
  if (row === undefined) return { kind: 'starting' };
  if (!row.recovering) return { kind: 'not-in-recovery' };
  const lsn = row.lsn === null ? null : parseLsn(row.lsn);
  return { kind: row.pause === 'paused' ? 'paused' : 'replaying', lsn, clock: row.clock };
}

/** No session: the server is on its way up, or gone. What cannot be told counts as "on its way"; the caller looks again. */
async function sightOfProcess(place: SandboxPlace): Promise<ReplaySight> {
  const server = await readPostmaster(place.dataDir);
  return server.state === 'stopped' ? { kind: 'stopped', why: server.why } : { kind: 'starting' };
}
