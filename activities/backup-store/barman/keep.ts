/**
 * `barman keep`: the retention of Barman, which runs every minute, does not take a backup or its WAL away while a run reads them. Only what this run
 * set is released: a note beside the base says so, written before the backup is marked, so that a killed run finds it again.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

import { parseKeep } from './answers.js';
import { keepArgs, keepStatusArgs, releaseArgs } from './commands.js';
import type { Barman } from './run.js';

/** The backup that carries the mark: of an incremental one its root, because Barman marks full ones only. */
export type Kept = { id: string; noteFile: string };

/** Marks the backup unless somebody did already. What went wrong is returned: without the mark a restore is as right, only less safe. */
export async function keepBackup(barman: Barman, { id, noteFile }: Kept): Promise<string | null> {
  if (existsSync(noteFile)) return null;
  try {
    if ((await readKeep(barman, id)) !== 'nokeep') return null;
    writeFileSync(noteFile, id, { mode: 0o600 });
    const result = await barman.run(keepArgs(barman.config.server, id));
    if ((await readKeep(barman, id)) === 'full') return null;
    rmSync(noteFile, { force: true });
    return `backup ${id} could not be kept: ${result.stderr.trim()}`;
  } catch (error) {
    return `backup ${id} could not be kept: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Takes the mark of this run away; returns what went wrong. A backup that is gone has none. */
export async function releaseBackup(barman: Barman, noteFile: string): Promise<string | null> {
  const id = readNote(noteFile);
  if (id === null) return null;
  try {
    await barman.run(releaseArgs(barman.config.server, id));
    const now = await readKeep(barman, id);
    if (now !== 'nokeep') return `backup ${id} is still kept (${now}): \`barman keep --release\` takes the mark away`;
    rmSync(noteFile, { force: true });
    return null;
  } catch (error) {
    return `backup ${id} could not be released: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function readNote(file: string): string | null {
  return existsSync(file) ? readFileSync(file, 'utf8') : null;
}

async function readKeep(barman: Barman, id: string): Promise<string> {
  const { server } = barman.config;
  return parseKeep(await barman.ask(keepStatusArgs(server, id)), server);
}
