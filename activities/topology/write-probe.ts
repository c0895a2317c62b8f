/**
 * Who takes the writes of applications: a row is written through the write address and rolled back, and the server that took it says who it is.
 * A table of ours is made where there is none; it disappears with the transaction.
 */
import type pg from 'pg';

import type { EnvironmentConfig } from '../../config/schema.js';
import { withClient, sqlStateOf, type ClientOptions } from '../lib/database.js';
import { parseMultihostUrl } from '../lib/multihost-url.js';
import { reasonOf, within } from './within.js';

/** Enough to know a server by, whatever proxy, container or port mapping stands between. */
export type ServerMark = {
  systemIdentifier: string;
  startedAt: string;
  dataDir: string | null;
  address: string | null;
  port: number | null;
};

export type ProbeAnswer = {
  /** `host:port` of the write address that this is about. */
  target: string;
  server: ServerMark | null;
  accepted: boolean;
  ms: number;
  why: string | null;
};

const STEP_MS = 1_000;
const PROBE_MS = 1_300;
const INSUFFICIENT_PRIVILEGE = '42501';

/** `data_directory` is for pg_read_all_settings only; the second argument of current_setting does not help there. */
const WHO = `
  select (select system_identifier::text from pg_control_system()) as "systemIdentifier",
         extract(epoch from pg_postmaster_start_time())::text as "startedAt",
         (select setting from pg_settings where name = 'data_directory') as "dataDir",
         host(inet_server_addr()) as address, inet_server_port() as port,
         current_setting('transaction_read_only')::boolean as "readOnly"`;

/**
 * Asks every host of the write address at once, as a client would try them one after the other. With `write` false nothing is written: accepted
 * then means that the server would take a write. Never fails; takes 1.3 s at most.
 */
export async function probeWriteAddress(
  environment: Pick<EnvironmentConfig, 'routing' | 'postgres'>,
  password: string | null,
  write: boolean,
): Promise<ProbeAnswer[]> {
  const url = parseMultihostUrl(environment.routing.url);
  const user = url.user ?? environment.postgres.user;
  const database = url.database ?? environment.postgres.database;
  return Promise.all(
    url.hosts.map((host) => {
      const target = `${host.host}:${String(host.port)}`;
      // Through a pooler nothing but the name may be sent at the start.
      const limits = { plain: true, connectTimeoutMs: STEP_MS, statementTimeoutMs: STEP_MS };
      const late = { target, server: null, accepted: false, ms: PROBE_MS, why: 'no answer in time' };
      return within(PROBE_MS, probe({ ...host, user, database, password, ...limits }, target, write), () => late);
    }),
  );
}

async function probe(options: ClientOptions, target: string, write: boolean): Promise<ProbeAnswer> {
  const startedAt = performance.now();
  const seen: { server: ServerMark | null } = { server: null };
  const answer = (accepted: boolean, why: string | null): ProbeAnswer => ({
    target,
    server: seen.server,
    accepted,
    ms: Math.max(1, Math.round(performance.now() - startedAt)),
    why,
  });
  try {
    return await withClient(options, async (client) => {
      await client.query(`begin; set local statement_timeout = ${String(STEP_MS)}`);
      const { rows } = await client.query<ServerMark & { readOnly: boolean }>(WHO);
      const [who] = rows;
      if (who === undefined) return answer(false, 'the server gave no answer');
      const { readOnly, ...server } = who;
      seen.server = server;
      if (readOnly) return answer(false, 'is read-only');
      if (write) await writeRow(client);
      const done = answer(true, null);
      await client.query('rollback');
      return done;
    });
  } catch (error) {
    return answer(false, reasonOf(error));
  }
}

/** A role that may not make our table writes into one that only its session sees: the server takes that write just as well, or not. */
async function writeRow(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ there: boolean }>("select to_regclass('pgr.write_probe') is not null as there");
  await client.query('savepoint before_write');
  try {
    if (rows[0]?.there !== true) {
      await client.query('create schema if not exists pgr');
      await client.query('create table pgr.write_probe (at timestamptz not null, source text not null)');
    }
    await client.query("insert into pgr.write_probe values (clock_timestamp(), 'topology')");
  } catch (error) {
    if (sqlStateOf(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    await client.query('rollback to savepoint before_write');
    await client.query('create temporary table pgr_write_probe (at timestamptz not null) on commit drop');
    await client.query('insert into pgr_write_probe values (clock_timestamp())');
  }
}
