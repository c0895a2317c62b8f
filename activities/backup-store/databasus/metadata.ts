/** The sidecars (`<name>.metadata`, plain JSON) that say what an object is and how it is encrypted. Pure. */
import { z } from 'zod';

import { parseLsn, type Lsn } from '../../../shared/lsn.js';
import type { FailureType } from '../../../shared/failures.js';
import { stepFailure } from '../../lib/failure.js';

const lsn = z.string().transform((text, context): Lsn => {
  const parsed = parseLsn(text);
  if (parsed !== null) return parsed;
  context.addIssue({ code: 'custom', message: `"${text}" is not an lsn` });
  return z.NEVER;
});

const encryption = z.enum(['NONE', 'ENCRYPTED']);
const bytes = z.int().nonnegative();

const baseSchema = z.object({
  backupId: z.string().min(1),
  databaseId: z.string().min(1),
  backupType: z.enum(['FULL', 'INCREMENTAL']),
  systemIdentifier: z.string().regex(/^\d{1,20}$/),
  /** 170000 for PostgreSQL 17. */
  pgVersion: z.int().min(100_000),
  timelineId: z.int().positive(),
  startLsn: lsn,
  stopLsn: lsn,
  uncompressedSizeBytes: bytes.default(0),
  /** Bytes of the compressed tar before encryption (seen: the object is larger by header and tags). */
  compressedSizeBytes: bytes.default(0),
  rootFullBackupId: z.string().nullish(),
  parentIncrementalBackupId: z.string().nullish(),
  encryption,
  createdAt: z.iso.datetime({ offset: true }),
  completedAt: z.iso.datetime({ offset: true }),
});

const walSchema = z.object({
  walSegmentId: z.string().min(1),
  databaseId: z.string().min(1),
  walFilename: z.string().min(1),
  startLsn: lsn,
  endLsn: lsn,
  /** Bytes of the stored object, header and tags included (seen). */
  compressedSizeBytes: bytes.default(0),
  encryption,
});

const historySchema = z.object({
  walHistoryFileId: z.string().min(1),
  compressedSizeBytes: bytes.default(0),
  encryption,
});

export type BaseMetadata = z.output<typeof baseSchema>;
export type WalMetadata = z.output<typeof walSchema>;
export type HistoryMetadata = z.output<typeof historySchema>;

/** Sidecar of a base; BackupCorrupt when it cannot be understood. */
export function parseBaseMetadata(text: string, name: string): BaseMetadata {
  return parseAs(baseSchema, text, name, 'BackupCorrupt');
}

/** Sidecar of a WAL segment; WalCorrupt when it cannot be understood. */
export function parseWalMetadata(text: string, name: string): WalMetadata {
  return parseAs(walSchema, text, name, 'WalCorrupt');
}

/** Sidecar of a timeline history (from source; not seen in a bucket); WalCorrupt when it cannot be understood. */
export function parseHistoryMetadata(text: string, name: string): HistoryMetadata {
  return parseAs(historySchema, text, name, 'WalCorrupt');
}

function parseAs<T>(schema: z.ZodType<T>, text: string, name: string, type: FailureType): T {
  let document: unknown;
  try {
    document = JSON.parse(quoteLargeNumbers(text));
  } catch (error) {
    throw stepFailure(type, `metadata of ${name} are not json`, { cause: error });
  }
  const parsed = schema.safeParse(document);
  if (parsed.success) return parsed.data;
  const [first] = parsed.error.issues;
  const where = first === undefined ? '' : `: ${first.path.join('.')}: ${first.message}`;
  throw stepFailure(type, `metadata of ${name} are not understood${where}`);
}

/** A system identifier does not fit a JavaScript number, and JSON.parse would round it without a word. */
function quoteLargeNumbers(text: string): string {
  return text.replace(/("systemIdentifier"\s*:\s*)(\d+)/g, '$1"$2"');
}
