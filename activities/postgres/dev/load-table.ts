/** The rows of one table, and the large objects. */
import type pg from 'pg';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { describeFailure, runProgram } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';
import { copiedTable } from '../dump/sql-statements.js';
import type { Archive } from './archive.js';
import type { TableData } from './content.js';
import { copyIn } from './copy-in.js';
import type { Meter } from './meter.js';
import { inTransaction, isRefused, saidOf } from './phase.js';
import type { Server } from './session.js';
import { markDone } from './state.js';

export type LoadTable = { archive: Archive; table: TableData; encoding: string; meter: Meter; key: string };

/**
 * Empties the table and loads it, with the note that it is loaded, in one transaction: so rows need no WAL where wal_level is minimal, come frozen (no
 * later pass over them), and are never there twice. `into` is another table of the same columns.
 */
export async function loadTable(
  client: pg.Client,
  { archive, table, encoding, meter, key }: LoadTable,
  into?: string,
): Promise<number> {
  const { entry, viaRoot } = table;
  meter.forget(key);
  const target = into ?? copiedTable(entry.copySql.trim()) ?? '';
  try {
    return await inTransaction(client, async () => {
      if (!viaRoot) await client.query(`truncate only ${target}`);
      const rows = archive.read(entry, (bytes) => {
        meter.read(key, bytes);
      });
      const count = await copyIn(
        client,
        copyStatement(entry.copySql, { encoding, frozen: !viaRoot, ...(into === undefined ? {} : { into }) }),
        rows,
      );
      await markDone(client, key, archive.bytesOf(entry.id));
      return count;
    });
  } catch (error) {
    if (!isRefused(error)) throw error;
    throw stepFailure('CommandFailed', `table ${table.table} cannot be loaded: ${saidOf(error)}`, {
      hint: 'the database in use was not touched; mend what the message names, then `pgr retry`: loaded tables stay loaded',
    });
  }
}

/** The COPY of an archive with our options. Pure. */
export function copyStatement(copySql: string, options: { encoding: string; frozen: boolean; into?: string }): string {
  const { encoding, frozen, into } = options;
  const set = [...(frozen ? ['FREEZE'] : []), ...(encoding === 'UTF8' ? [] : [`ENCODING '${encoding}'`])];
  const statement = copySql
    .trim()
    .replace(/ FROM stdin;$/, ` FROM stdin${set.length === 0 ? '' : ` WITH (${set.join(', ')})`};`);
  const table = into === undefined ? null : copiedTable(copySql.trim());
  return table === null || into === undefined ? statement : statement.replace(`COPY ${table}`, `COPY ${into}`);
}

export type LargeObjects = {
  binDir: string | null;
  file: string;
  ids: readonly number[];
  server: Server;
  database: string;
};

/** Through pg_restore, all of them or none. */
export async function restoreLargeObjects(
  client: pg.Client,
  { binDir, file, ids, server, database }: LargeObjects,
): Promise<void> {
  const { rows } = await client.query<{ there: boolean }>(
    'select exists (select from pg_largeobject_metadata) as there',
  );
  // All of them or none: an attempt that was killed after its commit has made them.
  if (rows[0]?.there !== true) {
    const dir = await mkdtemp(path.join(os.tmpdir(), 'pgr-list-'));
    try {
      const list = path.join(dir, 'list');
      await writeFile(list, ids.map((id) => `${String(id)}; 0 0 LARGE OBJECTS\n`).join(''));
      const args = [
        ...connectionArgs(server, database),
        '--single-transaction',
        '--no-owner',
        '--no-privileges',
        `--use-list=${list}`,
        file,
      ];
      const env = server.password === null ? {} : { PGPASSWORD: server.password };
      const result = await runProgram(binDir === null ? 'pg_restore' : path.join(binDir, 'pg_restore'), args, {
        env,
        timeoutMs: 24 * 3_600_000,
      });
      if (result.exitCode !== 0)
        throw stepFailure('CommandFailed', `the large objects cannot be loaded: ${describeFailure(result)}`);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }
  await markDone(client, 'large-objects');
}

/** No password is ever in them. */
export function connectionArgs(
  { host, port, user }: Pick<Server, 'host' | 'port' | 'user'>,
  database: string,
): string[] {
  return [`--host=${host}`, `--port=${String(port)}`, `--username=${user}`, '--no-password', `--dbname=${database}`];
}
