/** What is loaded already stands in the database itself, written with the rows in one transaction: so a restore that was killed goes on where it was. */
import type pg from 'pg';

import type { DevPlan } from '../../../shared/contracts/dev.js';
import { STATE_SCHEMA } from './names.js';

/** What a restored database says of itself. */
export type DevState = {
  fingerprint: string;
  environment: string;
  source: string;
  dump: DevPlan['dump'];
  mode: DevPlan['mode'];
  deferred: string[];
  postRestore: boolean;
};

/** Made last of the schema: without it the tables of a database count as half made. */
export async function createState(client: pg.Client, state: DevState): Promise<void> {
  await client.query(`begin;
    create schema if not exists ${STATE_SCHEMA};
    revoke all on schema ${STATE_SCHEMA} from public;
    create table if not exists ${STATE_SCHEMA}.run (one boolean primary key default true check (one), state jsonb not null);
    create table if not exists ${STATE_SCHEMA}.done (key text primary key, bytes bigint not null default 0, at timestamptz not null default now());
    create table if not exists ${STATE_SCHEMA}.problem (key text primary key, message text not null)`);
  await client.query(
    `insert into ${STATE_SCHEMA}.run (state) values ($1) on conflict (one) do update set state = excluded.state`,
    [JSON.stringify(state)],
  );
  await client.query('commit');
}

/** Null when there is no (whole) schema that a restore made. */
export async function readState(client: pg.Client): Promise<DevState | null> {
  const { rows: found } = await client.query<{ there: boolean }>(
    `select to_regclass('${STATE_SCHEMA}.run') is not null as there`,
  );
  if (found[0]?.there !== true) return null;
  const { rows } = await client.query<{ state: DevState }>(`select state from ${STATE_SCHEMA}.run`);
  return rows[0]?.state ?? null;
}

export async function changeState(client: pg.Client, change: Partial<DevState>): Promise<void> {
  await client.query(`update ${STATE_SCHEMA}.run set state = state || $1::jsonb`, [JSON.stringify(change)]);
}

/** Keys that are done, with the stored bytes of each. */
export async function readDone(client: pg.Client): Promise<Map<string, number>> {
  const { rows } = await client.query<{ key: string; bytes: string }>(`select key, bytes from ${STATE_SCHEMA}.done`);
  return new Map(rows.map(({ key, bytes }) => [key, Number(bytes)]));
}

/** Part of the transaction that does it. */
export async function markDone(client: pg.Client, key: string, bytes = 0): Promise<void> {
  await client.query(`insert into ${STATE_SCHEMA}.done (key, bytes) values ($1, $2) on conflict (key) do nothing`, [
    key,
    bytes,
  ]);
}

export async function forgetDone(client: pg.Client, keys: readonly string[]): Promise<void> {
  await client.query(`delete from ${STATE_SCHEMA}.done where key = any($1)`, [keys]);
}

export async function addProblem(client: pg.Client, key: string, message: string): Promise<void> {
  await client.query(
    `insert into ${STATE_SCHEMA}.problem (key, message) values ($1, $2) on conflict (key) do update set message = excluded.message`,
    [key, message],
  );
}

export async function clearProblems(client: pg.Client, keys: readonly string[]): Promise<void> {
  await client.query(`delete from ${STATE_SCHEMA}.problem where key = any($1)`, [keys]);
}

export async function readProblems(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ message: string }>(`select message from ${STATE_SCHEMA}.problem order by key`);
  return rows.map(({ message }) => message);
}
