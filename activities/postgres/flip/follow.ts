/** Makes a stopped node follow the new primary: where it connects to, its slot, the signal file. */
import path from 'node:path';
import type pg from 'pg';

import type { NodeConfig } from '../../../config/schema.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { replicationAddress } from '../connection.js';
import { ownerOf, readTextIfThere, replaceFile } from '../data-directory.js';
import { withSettings } from '../settings-files.js';

/** Keywords of libpq. The password goes into a file of mode 0600 and nowhere else, as `pg_basebackup -R` does. Pure. */
export function conninfoOf(
  address: { host: string; port: number; user: string; password: string | null },
  applicationName: string,
): string {
  const parts: [string, string | null][] = [
    ['user', address.user],
    ['password', address.password],
    ['host', address.host],
    ['port', String(address.port)],
    ['application_name', applicationName],
  ];
  return parts
    .flatMap(([name, value]) => (value === null ? [] : [`${name}='${value.replace(/[\\']/g, '\\$&')}'`]))
    .join(' ');
}

/** Repeatable; each file is replaced as a whole. */
export async function writeFollowing(
  deps: ActivityDeps,
  environment: string,
  node: NodeConfig,
  to: string,
  slot: string,
): Promise<void> {
  const owner = await ownerOf(node.dataDir);
  const conninfo = conninfoOf(await replicationAddress(deps, environment, to), node.name);
  const file = path.join(node.dataDir, 'postgresql.auto.conf');
  const text = (await readTextIfThere(file)) ?? '';
  await replaceFile(path.join(node.dataDir, 'standby.signal'), '', owner);
  await replaceFile(file, withSettings(text, { primary_conninfo: conninfo, primary_slot_name: slot }), owner);
}

export async function hasSlot(client: pg.Client, slot: string): Promise<boolean> {
  const { rows } = await client.query('select 1 from pg_replication_slots where slot_name = $1', [slot]);
  return rows.length > 0;
}

/**
 * A slot on the server of `client`, from its current position on; on a standby that is before the place where a promotion forks. One that lost its WAL is
 * made anew.
 */
export async function makeSlot(client: pg.Client, slot: string): Promise<void> {
  await client.query(
    "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and not active and wal_status = 'lost'",
    [slot],
  );
  await client.query(
    `select pg_create_physical_replication_slot($1, true)
      where not exists (select 1 from pg_replication_slots where slot_name = $1)`,
    [slot],
  );
}

/** A slot that nobody reads any more would keep WAL until the disk is full. */
export async function dropIdleSlot(client: pg.Client, slot: string): Promise<void> {
  await client.query(
    "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and slot_type = 'physical' and not active",
    [slot],
  );
}
