/**
 * Settings of the whole server that make loading fast, for the time of the load. What stood there before is written to a file and flushed before
 * anything is changed; whoever comes next puts it back from there, also after a kill. Nothing that could cost data in a crash is changed.
 */
import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import type pg from 'pg';

import { faultPoint } from '../../lib/fault-points.js';
import { writeWhole } from '../../lib/write-whole.js';
import { codeOf, syncDirectory } from '../data-directory.js';
import { isSuperuser } from './databases.js';

const FAULT_CHANGED = 'restore-dev:settings-changed';

/** Fewer checkpoints, each of which would write the same pages again; and nobody analyzes what is still being loaded. */
const FAST: Readonly<Record<string, string>> = {
  max_wal_size: '16GB',
  checkpoint_timeout: '1h',
  autovacuum: 'off',
};

/** What ALTER SYSTEM had set before; null for a setting that it had not set. */
type Journal = Record<string, string | null>;

/** Where the settings of a server are kept while they are changed. */
export function journalOf(stateDir: string, systemIdentifier: string): string {
  return path.join(stateDir, 'restore-dev', `settings-${systemIdentifier}.json`);
}

/** Changes the settings, unless they are changed already. Without the rights of a superuser nothing is changed, and false returned. */
export async function applyFastSettings(client: pg.Client, journal: string): Promise<boolean> {
  if (!(await isSuperuser(client))) return false;
  if ((await readJournal(journal)) === null) await writeJournal(journal, await readOwn(client));
  for (const [name, value] of Object.entries(FAST)) await setSystem(client, name, value);
  await client.query('select pg_reload_conf()');
  faultPoint(FAULT_CHANGED);
  return true;
}

/** Puts back what stood there before; false when nothing was changed. */
export async function putBackSettings(client: pg.Client, journal: string): Promise<boolean> {
  const before = await readJournal(journal);
  if (before === null) return false;
  for (const [name, value] of Object.entries(before)) await setSystem(client, name, value);
  await client.query('select pg_reload_conf()');
  await rm(journal, { force: true });
  return true;
}

async function setSystem(client: pg.Client, name: string, value: string | null): Promise<void> {
  const setting = client.escapeIdentifier(name);
  await client.query(
    value === null ? `alter system reset ${setting}` : `alter system set ${setting} = ${client.escapeLiteral(value)}`,
  );
}

async function readOwn(client: pg.Client): Promise<Journal> {
  const { rows } = await client.query<{ name: string; setting: string }>(
    `select name, setting from pg_file_settings
     where sourcefile like '%/postgresql.auto.conf' and name = any($1) order by seqno`,
    [Object.keys(FAST)],
  );
  const own = new Map(rows.map(({ name, setting }) => [name, setting]));
  return Object.fromEntries(Object.keys(FAST).map((name) => [name, own.get(name) ?? null]));
}

async function readJournal(file: string): Promise<Journal | null> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Journal;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

async function writeJournal(file: string, journal: Journal): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  await writeWhole(file, `${JSON.stringify(journal)}\n`, { flush: true });
  await syncDirectory(path.dirname(file));
}
