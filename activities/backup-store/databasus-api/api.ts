/** The calls of the controller's API that are used here, one function each. All but the last few only read. */
import { z } from 'zod';

import { stepFailure } from '../../lib/failure.js';
import { errorText, refusal } from './refusals.js';
import {
  backupConfigSchema,
  backupsSchema,
  databasesSchema,
  downloadTokenSchema,
  logicalBackupsSchema,
  restoreTokenSchema,
  understand,
  workspacesSchema,
  type BackupConfig,
  type BackupRow,
  type DatabaseRow,
  type LogicalBackup,
  type Workspace,
} from './schemas.js';
import type { Session } from './session.js';

/** Largest page that the controller gives. */
const PAGE = 1000;

type BackupType = 'FULL' | 'INCREMENTAL' | 'WAL';

/** Workspaces that the user sees. */
export async function listWorkspaces(session: Session): Promise<Workspace[]> {
  return (await read(session, '/workspaces', 'list the workspaces', workspacesSchema)).workspaces;
}

/** Databases of a workspace, logical ones too. */
export async function listDatabases(session: Session, workspaceId: string): Promise<DatabaseRow[]> {
  const path = `/databases?workspace_id=${encodeURIComponent(workspaceId)}`;
  return read(session, path, 'list the databases', databasesSchema);
}

/** All rows, newest first; a row that moved to the next page while pages were read is there once. */
export async function listBackups(session: Session, databaseId: string): Promise<BackupRow[]> {
  const rows = new Map<string, BackupRow>();
  for await (const row of eachBackup(session, databaseId)) rows.set(row.id, row);
  return [...rows.values()];
}

/** Rows of a type (of all types when left out), newest first, page by page. */
export async function* eachBackup(session: Session, databaseId: string, type?: BackupType): AsyncGenerator<BackupRow> {
  for (let offset = 0; ; offset += PAGE) {
    const query = `limit=${String(PAGE)}&offset=${String(offset)}${type === undefined ? '' : `&type=${type}`}`;
    const path = `/backups/physical/database/${databaseId}/backups?${query}`;
    const page = await read(session, path, 'list the backups', backupsSchema);
    yield* page.backups;
    if (page.backups.length === 0 || offset + page.backups.length >= page.total) return;
  }
}

/** How and when the controller backs up a database. */
export async function readBackupConfig(session: Session, databaseId: string): Promise<BackupConfig> {
  const path = `/backup-configs/physical/database/${databaseId}`;
  return read(session, path, 'read how the database is backed up', backupConfigSchema);
}

/** Logical backups of a database, newest first, at most 1000. */
export async function listLogicalBackups(session: Session, databaseId: string): Promise<LogicalBackup[]> {
  const path = `/backups?database_id=${encodeURIComponent(databaseId)}&limit=${String(PAGE)}`;
  return (await read(session, path, 'list the logical backups', logicalBackupsSchema)).backups;
}

/** Version of the controller, for people. */
export async function readVersion(session: Session): Promise<string> {
  const answer = await read(session, '/system/version', 'say its version', z.object({ version: z.string() }));
  return answer.version;
}

export type RestoreToken =
  | { outcome: 'token'; path: string }
  /** The controller cannot reach the target (422): its own words. */
  | { outcome: 'not-restorable'; why: string }
  /** Another download of this user is open, or its lock has not run out yet (409). */
  | { outcome: 'busy'; why: string };

/** A token for the stream with the bases and WAL for a time. It serves one download, for 15 minutes, and dies with a restart. */
export async function askRestoreToken(
  session: Session,
  databaseId: string,
  targetTime: string | null,
): Promise<RestoreToken> {
  const what = 'give a restore token';
  const answer = await session.ask(
    { method: 'POST', path: `/backups/physical/database/${databaseId}/restore-token`, body: { targetTime } },
    what,
    [200, 404, 409, 422],
  );
  const why = errorText(answer);
  if (answer.status === 409) return { outcome: 'busy', why };
  if (answer.status === 422 || /no completed full backup/.test(why)) return { outcome: 'not-restorable', why };
  if (answer.status !== 200) throw refusal(session.where, what, answer);
  const { token } = understand(restoreTokenSchema, answer.body, session.where, what);
  // The url that comes with it is relative to the controller and has the token unescaped.
  return { outcome: 'token', path: `/backups/physical/restore-stream?token=${encodeURIComponent(token)}` };
}

/** A token for the dump of a logical backup: one download, five minutes. */
export async function askDownloadToken(session: Session, backupId: string): Promise<{ path: string; file: string }> {
  const what = 'give a download token';
  const answer = await session.ask({ method: 'POST', path: `/backups/${backupId}/download-token` }, what);
  const { token, filename } = understand(downloadTokenSchema, answer.body, session.where, what);
  return { path: `/backups/${backupId}/file?token=${encodeURIComponent(token)}`, file: filename };
}

/** Writes the whole configuration back. */
export async function saveBackupConfig(session: Session, config: BackupConfig): Promise<void> {
  const request = { method: 'POST', path: '/backup-configs/physical/save', body: config } as const;
  await session.ask(request, 'change how the database is backed up');
}

/** Asks for a backup. The controller only notes it (202, also while backups are off): the list shows what comes of it. */
export async function triggerBackup(session: Session, databaseId: string, type: 'full' | 'incremental'): Promise<void> {
  const path = `/backups/physical/database/${databaseId}/trigger`;
  const answer = await session.ask({ method: 'POST', path, body: { type } }, `take a ${type} backup`, [200, 202, 409]);
  if (answer.status !== 409) return;
  throw stepFailure('PreconditionFailed', `the controller takes no ${type} backup: ${errorText(answer)}`, {
    hint: 'take a full one instead',
  });
}

async function read<T>(session: Session, path: string, what: string, schema: z.ZodType<T>): Promise<T> {
  const answer = await session.ask({ method: 'GET', path }, what);
  return understand(schema, answer.body, session.where, what);
}
