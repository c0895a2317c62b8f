/**
 * The light application of the lab: a few orders a second through the write address, for ever, until SIGTERM. It knows both nodes and
 * writes to whichever accepts writes, as libpq does for target_session_attrs=read-write; when a server goes away it keeps trying.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type pg from 'pg';

import { withClient } from '../activities/lib/database.js';
import { applicationPorts } from './extras.js';
import { composeOrder, insertOrder, shipOrders } from './order-writer.js';
import { LAB_APP_USER, LAB_DATABASE, labPaths, type LabPaths } from './paths.js';
import { readSecret } from './secrets.js';
import { SEED_SIZES } from './seed-sql.js';
import { requireState } from './state.js';

const PAUSE_MS = 230;
const RETRY_MS = 500;
const SHIP_EVERY = 20;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { 'writer-of': { type: 'string' } } });
  const dir = values['writer-of'];
  if (dir === undefined) throw new Error('usage: writer --writer-of LAB_DIRECTORY');
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      stop.abort();
    });
  }
  const paths = labPaths(dir);
  while (!stop.signal.aborted) {
    await tryAddresses(paths, stop.signal);
    await pause(RETRY_MS, stop.signal);
  }
}

/** Writes to the first address that accepts writes until it goes away. Ports are read anew: they may have changed meanwhile. */
async function tryAddresses(paths: LabPaths, stop: AbortSignal): Promise<void> {
  const { extras, ports } = await requireState(paths);
  for (const port of applicationPorts(extras, ports)) {
    if (stop.aborted) return;
    try {
      const password = await readSecret(paths, 'shop');
      const address = { host: '127.0.0.1', port, user: LAB_APP_USER, database: LAB_DATABASE, password };
      await withClient({ ...address, settings: { application_name: 'shop' } }, async (client) => {
        if (await acceptsWrites(client)) await writeOrders(client, port, stop);
      });
    } catch (error) {
      say(`port ${String(port)}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

async function acceptsWrites(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ ok: boolean }>(
    "select not pg_is_in_recovery() and current_setting('transaction_read_only') = 'off' as ok",
  );
  return rows[0]?.ok === true;
}

async function writeOrders(client: pg.Client, port: number, stop: AbortSignal): Promise<void> {
  say(`writing to port ${String(port)}`);
  for (let count = 1; !stop.aborted; count += 1) {
    await insertOrder(client, composeOrder(Math.random, SEED_SIZES.customers));
    if (count % SHIP_EVERY === 0) await shipOrders(client);
    await pause(PAUSE_MS, stop);
  }
}

async function pause(milliseconds: number, stop: AbortSignal): Promise<void> {
  await delay(milliseconds, undefined, { signal: stop }).catch(() => undefined);
}

function say(text: string): void {
  process.stdout.write(`${new Date().toISOString()} ${text}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
