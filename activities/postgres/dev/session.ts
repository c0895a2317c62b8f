/** Sessions with a developer's server. Every one of them proves, before anything else, that it is the server that the plan was made for. */
import os from 'node:os';
import type pg from 'pg';

import type { DevTarget } from '../../../shared/contracts/dev.js';
import { withClient } from '../../lib/database.js';
import { stepFailure } from '../../lib/failure.js';

export type Server = Pick<DevTarget, 'host' | 'port' | 'user'> & { password: string | null; systemIdentifier: string };

/** What pg_restore sets in its sessions too; a name that a version does not know is passed over. */
const OFF = ['lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'idle_session_timeout'];

const MIB = 1024 * 1024;
const MOST_MEMORY_MIB = 1024;
const LEAST_MEMORY_MIB = 64;

/** Memory of one session that builds an index: together they take a quarter of the machine. */
export function maintenanceMemory(jobs: number, totalBytes: number = os.totalmem()): string {
  const share = Math.floor(totalBytes / 4 / jobs / MIB);
  return `${String(Math.max(LEAST_MEMORY_MIB, Math.min(MOST_MEMORY_MIB, share)))}MB`;
}

/**
 * Opens a session that may write, hands it to `work`, closes it. Throws IdentityMismatch when another server answers than the one that was proven
 * not to be production.
 */
export async function inServer<T>(
  server: Server,
  database: string,
  work: (client: pg.Client) => Promise<T>,
  settings: Record<string, string> = {},
): Promise<T> {
  const { host, port, user, password } = server;
  return withClient(
    {
      ...{ host, port, user, password, database, statementTimeoutMs: 0 },
      settings: {
        default_transaction_read_only: 'off',
        client_min_messages: 'warning',
        synchronous_commit: 'off',
        check_function_bodies: 'off',
        row_security: 'off',
        xmloption: 'content',
        standard_conforming_strings: 'on',
        ...settings,
      },
    },
    async (client) => {
      await requireServer(client, server);
      await client.query("select set_config(name, '0', false) from pg_settings where name = any($1)", [OFF]);
      await client.query("select set_config('search_path', '', false)");
      return work(client);
    },
  );
}

async function requireServer(client: pg.Client, { systemIdentifier, host, port }: Server): Promise<void> {
  const { rows } = await client.query<{ id: string }>('select system_identifier::text as id from pg_control_system()');
  if (rows[0]?.id === systemIdentifier) return;
  throw stepFailure(
    'IdentityMismatch',
    `at ${host}:${String(port)} answers a server with system identifier ${rows[0]?.id ?? 'unknown'}, the plan was made for ${systemIdentifier}`,
    { hint: 'nothing was changed; start again when it is clear which server it is' },
  );
}
