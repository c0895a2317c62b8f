/** The parts of the controller's answers that are used. Everything else in them is left alone. */
import { z } from 'zod';

import { stepFailure } from '../../lib/failure.js';
import { parseLsn, type Lsn } from '../../../shared/lsn.js';
import { notUnderstood } from './refusals.js';

export const workspacesSchema = z.object({
  workspaces: z.array(z.object({ id: z.string(), name: z.string(), userRole: z.string().nullish() })),
});

const physicalSchema = z.object({
  version: z.string().nullish(),
  backupType: z.string().nullish(),
  host: z.string().nullish(),
  port: z.number().nullish(),
  /** Text: it does not fit a JavaScript number. Missing until the controller has reached the server once. */
  systemIdentifier: z.string().nullish(),
  walSegmentSizeBytes: z.number().nullish(),
});

export const databasesSchema = z.array(
  z.object({
    id: z.string(),
    workspaceId: z.string().nullish(),
    name: z.string(),
    type: z.string(),
    postgresqlPhysical: physicalSchema.nullish(),
    lastBackupErrorMessage: z.string().nullish(),
  }),
);

const rowSchema = z.object({
  id: z.string(),
  type: z.string(),
  status: z.string(),
  timelineId: z.number(),
  startLsn: z.string(),
  stopLsn: z.string(),
  rootFullBackupId: z.string().nullish(),
  parentIncrementalBackupId: z.string().nullish(),
  walFilename: z.string().nullish(),
  sizeMb: z.number(),
  failMessage: z.string().nullish(),
  createdAt: z.string(),
  completedAt: z.string().nullish(),
});

export const backupsSchema = z.object({ backups: z.array(rowSchema), total: z.number() });

const logicalSchema = z.object({
  id: z.string(),
  fileName: z.string(),
  databaseId: z.string(),
  status: z.string(),
  backupSizeMb: z.number(),
  createdAt: z.string(),
});

export const logicalBackupsSchema = z.object({ backups: z.array(logicalSchema), total: z.number() });

export const restoreTokenSchema = z.object({ token: z.string().min(1), url: z.string().min(1) });
export const downloadTokenSchema = z.object({ token: z.string().min(1), filename: z.string(), backupId: z.string() });

/** Sent back as it came, with one value changed: so everything that is not named here is kept. */
export const backupConfigSchema = z.looseObject({ databaseId: z.string(), isBackupsEnabled: z.boolean() });

export type Workspace = z.output<typeof workspacesSchema>['workspaces'][number];
export type DatabaseRow = z.output<typeof databasesSchema>[number];
export type BackupRow = z.output<typeof rowSchema>;
export type LogicalBackup = z.output<typeof logicalSchema>;
export type BackupConfig = z.output<typeof backupConfigSchema>;

/** `body` as the schema says; PreconditionFailed with the first thing that is not as it is known. */
export function understand<T>(schema: z.ZodType<T>, body: unknown, where: string, what: string): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const [first] = parsed.error.issues;
  throw notUnderstood(where, what, first === undefined ? '' : `${first.path.join('.')}: ${first.message}`);
}

/** An LSN of a row that is complete. */
export function lsnOf(text: string, row: Pick<BackupRow, 'id' | 'type'>): Lsn {
  const lsn = parseLsn(text);
  if (lsn !== null) return lsn;
  throw stepFailure('BackupCorrupt', `the controller lists ${row.type} ${row.id} with "${text}", which is no lsn`);
}
