/** What Barman answers with `-f json` (3.19.1; numbers come as numbers or as text). Pure. */
import { z } from 'zod';

import { parseLsn, type Lsn } from '../../../shared/lsn.js';
import { normaliseTimestamp } from '../../../shared/target-time.js';
import { stepFailure } from '../../lib/failure.js';

const count = z.coerce.number().pipe(z.int().nonnegative());
const lsn = z.string().transform((text, context): Lsn => {
  const parsed = parseLsn(text);
  if (parsed !== null) return parsed;
  context.addIssue({ code: 'custom', message: `"${text}" is not an lsn` });
  return z.NEVER;
});
/** `2026-11-21 18:48:25.552769+00:00`, in whatever zone the machine of Barman has. */
const time = z.string().transform((text, context): string => {
  const parsed = normaliseTimestamp(text);
  if (parsed !== null) return parsed;
  context.addIssue({ code: 'custom', message: `"${text}" is not a time with a zone` });
  return z.NEVER;
});
/** Ids go into arguments and paths. */
const backupId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/);

const listedSchema = z.object({
  backup_id: backupId,
  status: z.string(),
  backup_name: z.string().nullish(),
  end_time_timestamp: z.coerce.string().nullish(),
});

export type ListedBackup = z.output<typeof listedSchema>;

const backupSchema = z.object({
  backup_id: backupId,
  backup_name: z.string().nullish(),
  status: z.string(),
  /** A 64-bit number as text. */
  system_id: z
    .string()
    .regex(/^\d{1,20}$/)
    .nullish(),
  postgresql_version: count,
  tablespaces: z.array(z.unknown()).nullish(),
  cluster_size_bytes: count.nullish(),
  snapshots_information: z.unknown().optional(),
  base_backup_information: z.object({
    backup_method: z.string().nullish(),
    backup_size_bytes: count.nullish(),
    begin_time: time,
    end_time: time,
    begin_lsn: lsn,
    end_lsn: lsn,
    begin_wal: z.string().nullish(),
    begin_offset: count.nullish(),
    timeline: count,
    compression: z.string().nullish(),
    encryption: z.string().nullish(),
  }),
  catalog_information: z.object({ root_backup_id: z.string().nullish() }).nullish(),
});

export type ShownBackup = z.output<typeof backupSchema>;

const serverSchema = z.object({
  backup_directory: z.string(),
  wals_directory: z.string(),
  streaming_wals_directory: z.string().nullish(),
  incoming_wals_directory: z.string().nullish(),
  slot_name: z.string().nullish(),
  streaming_archiver: z.coerce.boolean().nullish(),
  archiver: z.coerce.boolean().nullish(),
  timeline: z.coerce.number().nullish(),
  current_xlog: z.string().nullish(),
  connection_error: z.string().nullish(),
  replication_slot: z.unknown().optional(),
});

export type ShownServer = z.output<typeof serverSchema>;

/** `list-processes`: what Barman runs for the server right now. */
export function parseProcesses(answer: Record<string, unknown>, server: string): { name: string }[] {
  return understood(z.array(z.object({ name: z.string() })), answer[server], `the processes of server ${server}`);
}

const checkSchema = z.record(z.string(), z.object({ status: z.string(), hint: z.string().nullish() }));
export type CheckAnswer = z.output<typeof checkSchema>;

/** `list-backups`: newest first; an empty list is one. */
export function parseList(answer: Record<string, unknown>, server: string): ListedBackup[] {
  return understood(z.array(listedSchema), answer[server], `the list of backups of ${server}`);
}

/** `show-backup` of a backup that ended well. */
export function parseBackup(answer: Record<string, unknown>, server: string, id: string): ShownBackup {
  return understood(backupSchema, answer[server], `what barman shows of backup ${id}`);
}

/** `show-server`. */
export function parseServer(answer: Record<string, unknown>, server: string): ShownServer {
  return understood(serverSchema, answer[server], `what barman shows of server ${server}`);
}

/** `check`. */
export function parseCheck(answer: Record<string, unknown>, server: string): CheckAnswer {
  return understood(checkSchema, answer[server], `the check of server ${server}`);
}

/** `keep --status`: `nokeep`, `full` or `standalone`. */
export function parseKeep(answer: Record<string, unknown>, server: string): string {
  const schema = z.object({ keep_status: z.object({ message: z.string() }) });
  return understood(schema, answer[server], `whether a backup of ${server} is kept`).keep_status.message;
}

function understood<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const first = parsed.error.issues[0];
  const where = first === undefined ? '' : `: ${[...first.path, first.message].join(' ')}`;
  throw stepFailure('StoreUnavailable', `${what} is not understood${where}`, {
    hint: 'pgr is tried with Barman 3.19; look at the answer with `barman -f json`',
  });
}

/** Sizes that `initdb --wal-segsize` allows, the usual one first. */
const SEGMENT_MIB = [16, 1, 2, 4, 8, 32, 64, 128, 256, 512, 1024];

/** The size of WAL segments, by which the position of a backup lies where Barman says. Barman does not show it while the server is down. */
export function segmentBytesOf({ begin_lsn, begin_wal, begin_offset }: ShownBackup['base_backup_information']): number {
  const usual = 16 * 1024 * 1024;
  if (!begin_wal || begin_offset === null || begin_offset === undefined) return usual;
  const low = Number.parseInt(begin_lsn.split('/')[1] ?? '0', 16);
  const segment = Number.parseInt(begin_wal.slice(16, 24), 16);
  const sizes = SEGMENT_MIB.map((mib) => mib * 1024 * 1024);
  return sizes.find((bytes) => low % bytes === begin_offset && Math.floor(low / bytes) === segment) ?? usual;
}
