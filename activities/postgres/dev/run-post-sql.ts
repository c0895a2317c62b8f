/** SQL files of the team that run on restored data before anybody sees them. */
import { readFile } from 'node:fs/promises';
import type pg from 'pg';

import type { DevPlan } from '../../../shared/contracts/dev.js';
import { sha256Hex } from '../../../shared/sha256.js';
import { stepFailure } from '../../lib/failure.js';
import { codeOf } from '../data-directory.js';
import { isRefused, saidOf, stateOf } from './phase.js';
import { transactionWord } from './post-sql.js';

export type PostSql = { path: string; sql: string };

/** The files as the plan saw them. Throws PreconditionFailed for one that changed since, or that would end the transaction. */
export async function readPostSql(files: DevPlan['postRestore']): Promise<PostSql[]> {
  return Promise.all(
    files.map(async ({ path, sha256 }) => {
      const found = await readSqlFile(path);
      if (found.sha256 === sha256) return { path, sql: found.sql };
      throw stepFailure('PreconditionFailed', `${path} was changed while the restore went on`, {
        hint: 'start again: the plan is made with the file as it is then',
      });
    }),
  );
}

/** A file and its sum. Throws NotFound, PreconditionFailed. */
export async function readSqlFile(path: string): Promise<{ sql: string; sha256: string }> {
  const sql = await readFile(path, 'utf8').catch((error: unknown) => {
    throw stepFailure('NotFound', `cannot read ${path}: ${codeOf(error)}`, {
      hint: 'postRestore and postDeferred name files on the host of the restore',
    });
  });
  const word = transactionWord(sql);
  if (word === null) return { sql, sha256: sha256Hex(sql) };
  throw stepFailure('PreconditionFailed', `${path} has its own ${word}: all files run in one transaction`, {
    hint: 'take it out; nothing was touched',
  });
}

/** Runs the files inside of the caller's transaction. Throws CommandFailed with the file that was refused. */
export async function runPostSql(client: pg.Client, files: readonly PostSql[]): Promise<void> {
  await client.query("select set_config('search_path', 'public', true)");
  for (const { path, sql } of files) {
    await client.query(sql).catch((error: unknown) => {
      if (!isRefused(error)) throw error;
      throw stepFailure('CommandFailed', `${path}: ${saidOf(error)} (${stateOf(error)})`, {
        hint: 'none of the files took effect, nobody saw the rows; mend the file, then start again',
      });
    });
  }
  await client.query("select set_config('search_path', '', true)");
}
