/** Fills a new cluster with the shop: database, users, rows. Runs on a server of its own settings (see seedServerOptions). */
import type pg from 'pg';

import { withClient, type DatabaseAddress } from '../activities/lib/database.js';
import { LAB_APP_USER, LAB_DATABASE, LAB_REPLICATION_USER, LAB_SUPERUSER } from './paths.js';
import { SEED_FINISH, SEED_FUNCTIONS, SEED_INDEXES, SEED_ROWS, SEED_TABLES } from './seed-sql.js';

export type SeedPasswords = { postgres: string; replicator: string; shop: string };

/** Creates users, database and rows. Throws what the server says; the half-made cluster is thrown away by the caller. */
export async function seedShop(port: number, passwords: SeedPasswords): Promise<void> {
  const superuser = { host: '127.0.0.1', port, user: LAB_SUPERUSER, password: passwords.postgres };
  await run({ ...superuser, database: 'postgres' }, async (client) => {
    await createRole(client, `${LAB_REPLICATION_USER} with login replication`, passwords.replicator);
    await createRole(client, `${LAB_APP_USER} with login`, passwords.shop);
    await client.query(`create database ${LAB_DATABASE} owner ${LAB_APP_USER}`);
  });
  // For pg_amcheck in a sandbox, which is read-only: nothing can be installed there.
  await run({ ...superuser, database: LAB_DATABASE }, async (client) => {
    await client.query('create extension if not exists amcheck');
  });
  const shop = { ...superuser, user: LAB_APP_USER, password: passwords.shop, database: LAB_DATABASE };
  await fill(shop);
  // Frozen and analysed as a database that has been in use: nothing rewrites all pages at the first reads.
  await run(shop, async (client) => {
    await client.query('vacuum (freeze, analyze)');
  });
}

async function createRole(client: pg.Client, role: string, password: string): Promise<void> {
  // Passwords are hexadecimal (lab/secrets.ts): no quoting can go wrong. Utility statements take no parameters.
  await client.query(`create role ${role} password '${password}'`);
}

async function fill(shop: DatabaseAddress): Promise<void> {
  await run(shop, async (client) => {
    await client.query(SEED_TABLES);
    await client.query(SEED_FUNCTIONS);
  });
  // Two sessions: the items need only row numbers, not the orders.
  await Promise.all([
    run(shop, async (client) => {
      await client.query(SEED_ROWS.customers);
      await client.query(SEED_ROWS.orders);
      await client.query(SEED_ROWS.payments);
    }),
    run(shop, async (client) => {
      await client.query(SEED_ROWS.order_items);
    }),
  ]);
  await Promise.all(SEED_INDEXES.map((group) => runAll(shop, group)));
  await runAll(shop, SEED_FINISH);
}

async function runAll(address: DatabaseAddress, statements: readonly string[]): Promise<void> {
  await run(address, async (client) => {
    for (const statement of statements) await client.query(statement);
  });
}

/** A session without a statement limit: on a slow disk the rows take a minute. */
async function run(address: DatabaseAddress, work: (client: pg.Client) => Promise<void>): Promise<void> {
  await withClient({ ...address, statementTimeoutMs: 0 }, work);
}
