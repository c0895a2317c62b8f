/** Dumps that the controller made of single databases: which there are, and one of them onto this disk. They are custom-format dumps, decrypted by it. */
import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';

import { normaliseTimestamp } from '../../../shared/target-time.js';
import { isFailureOf, stepFailure } from '../../lib/failure.js';
import { writeFully } from '../chunk-files.js';
import type { Patience } from '../s3-retry.js';
import { askDownloadToken, listDatabases, listLogicalBackups, listWorkspaces } from './api.js';
import { patiently } from './patience.js';
import { errorText, refusal } from './refusals.js';
import type { Session } from './session.js';

export type LogicalDump = { id: string; fileName: string; bytes: number; createdAt: string };

/** What every custom-format dump begins with. */
const DUMP_MAGIC = 'PGDMP';
const TRIES = 3;
const MIB = 1024 * 1024;

/** Complete dumps of a database, newest first. `database` is its name or id. Throws NotFound with the names that there are. */
export async function listDumps(session: Session, database: string): Promise<LogicalDump[]> {
  const workspaces = await listWorkspaces(session);
  const lists = await Promise.all(workspaces.map(({ id }) => listDatabases(session, id)));
  const logical = lists.flat().filter(({ type }) => type === 'POSTGRES_LOGICAL');
  const found = logical.find(({ id, name }) => [id, name].includes(database));
  if (found === undefined) {
    const names = logical.map(({ name }) => name).join(', ');
    throw stepFailure('NotFound', `the controller has no logical database "${database}"; it has ${names || 'none'}`);
  }
  const backups = await listLogicalBackups(session, found.id);
  return backups
    .filter(({ status }) => status === 'COMPLETED')
    .map(({ id, fileName, backupSizeMb, createdAt }) => ({
      id,
      fileName,
      bytes: Math.round(backupSizeMb * MIB),
      createdAt: normaliseTimestamp(createdAt) ?? createdAt,
    }));
}

/**
 * Downloads a dump to `file`, which is there only when all of it is. Returns its bytes. Every try has a token of its own (one download, five
 * minutes); StoreUnavailable when connections go on breaking, BackupCorrupt for something that is no dump.
 */
export async function downloadDump(session: Session, id: string, file: string, patience: Patience): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const content = await patiently(patience, () => openDump(session, id));
      return await writeDump(content, id, file);
    } catch (error) {
      rmSync(`${file}.tmp`, { force: true });
      if (!isFailureOf(error, 'StoreUnavailable') || attempt >= TRIES) throw error;
    }
  }
}

async function openDump(session: Session, id: string): Promise<AsyncIterable<Buffer>> {
  const { path } = await askDownloadToken(session, id);
  const answer = await session.download(path);
  if (answer.content !== null) return answer.content;
  // A spent token and another download of this user both pass with another token.
  if (answer.status === 401 || answer.status === 409) {
    throw stepFailure('StoreUnavailable', `the controller does not send dump ${id} now: ${errorText(answer)}`);
  }
  throw refusal(session.where, `send dump ${id}`, answer);
}

async function writeDump(content: AsyncIterable<Buffer>, id: string, file: string): Promise<number> {
  const fd = openSync(`${file}.tmp`, 'w', 0o600);
  let bytes = 0;
  try {
    for await (const piece of content) {
      if (bytes === 0 && piece.toString('latin1', 0, DUMP_MAGIC.length) !== DUMP_MAGIC) {
        throw stepFailure('BackupCorrupt', `what the controller sends as dump ${id} is no custom-format dump`);
      }
      writeFully(fd, piece, bytes);
      bytes += piece.length;
    }
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  if (bytes === 0) throw stepFailure('BackupCorrupt', `the controller sends nothing as dump ${id}`);
  renameSync(`${file}.tmp`, file);
  return bytes;
}
