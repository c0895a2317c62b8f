/** The bases of the store: one folder each, complete when its `base.json` is there. */
import { z } from 'zod';

import { parseLsn, type Lsn } from '../../shared/lsn.js';
import { stepFailure } from '../lib/failure.js';
import type { ObjectStore } from './s3-objects.js';

const BASES_PREFIX = 'bases/';

/** Bounds the number of headers read at once. */
const HEADERS_AT_ONCE = 16;

const lsn = z.string().transform((text, context): Lsn => {
  const parsed = parseLsn(text);
  if (parsed !== null) return parsed;
  context.addIssue({ code: 'custom', message: `"${text}" is not an lsn` });
  return z.NEVER;
});
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const headerSchema = z.object({
  api: z.literal(1),
  id: z.string().min(1),
  kind: z.enum(['full', 'incremental']),
  /** A 64-bit number as text: it does not fit a JavaScript number. */
  systemIdentifier: z.string().regex(/^\d{1,20}$/),
  postgresMajor: z.int().min(10),
  postgresVersion: z.string(),
  walSegmentBytes: z.int().positive(),
  timeline: z.int().positive(),
  startLsn: lsn,
  stopLsn: lsn,
  /** Clock of the server, UTC; `endedAt` is read after the backup has ended, so it is never too early. */
  startedAt: z.iso.datetime(),
  endedAt: z.iso.datetime(),
  /** The base on which an incremental one builds. */
  parentId: z.string().min(1).nullable(),
  compression: z.enum(['none', 'gz', 'lz4']),
  /** File name of the tar inside the folder. */
  tar: z.string().min(1),
  sizes: z.object({
    /** Stored bytes of the tar. */
    bytes: z.int().nonnegative(),
    /** Bytes of the tar before compression. */
    rawBytes: z.int().nonnegative(),
    /** Bytes of the files once restored. */
    restoredBytes: z.int().nonnegative(),
    files: z.int().nonnegative(),
    chunks: z.int().nonnegative(),
  }),
  /** Of the stored objects. */
  sha256s: z.object({ index: sha256, manifest: sha256 }),
  /** A standby or sandbox must not run with less (see MinimumSettings). */
  settings: z.object({
    maxConnections: z.int(),
    maxWorkerProcesses: z.int(),
    maxWalSenders: z.int(),
    maxPreparedTransactions: z.int(),
    maxLocksPerTransaction: z.int(),
  }),
  /** Why it cannot be restored although its copy is complete; only stores whose bases others write say so. */
  unusable: z.string().optional(),
});

export type BaseHeader = z.output<typeof headerSchema>;

/** Keys of the objects of one base. */
export function baseKeys(id: string): { header: string; index: string; manifest: string; folder: string } {
  const folder = `${BASES_PREFIX}${id}/`;
  return {
    folder,
    header: `${folder}base.json`,
    index: `${folder}index.json.gz`,
    manifest: `${folder}manifest.gz`,
  };
}

/**
 * Headers of all complete bases, oldest first. A folder without `base.json` is a base being written (or one that died) and is not
 * listed. A header that cannot be read is a BackupCorrupt failure that names it: a broken base must not look like a missing one.
 */
export async function listBases(objects: ObjectStore): Promise<BaseHeader[]> {
  const keys = (await objects.list(BASES_PREFIX)).map(({ key }) => key);
  const ids = keys.filter((key) => /^bases\/[^/]+\/base\.json$/.test(key)).map((key) => key.split('/')[1] ?? '');
  const headers: BaseHeader[] = [];
  for (let start = 0; start < ids.length; start += HEADERS_AT_ONCE) {
    const some = ids.slice(start, start + HEADERS_AT_ONCE);
    headers.push(...(await Promise.all(some.map((id) => readBaseHeader(objects, id)))));
  }
  return headers.sort((a, b) => (a.endedAt < b.endedAt ? -1 : 1));
}

/** The header of one base; NotFound when it is not there (or not complete), BackupCorrupt when it cannot be understood. */
export async function readBaseHeader(objects: Pick<ObjectStore, 'get'>, id: string): Promise<BaseHeader> {
  const key = baseKeys(id).header;
  const text = (await objects.get(key)).toString('utf8');
  return parseBaseHeader(text, id);
}

/** Parses `base.json`. */
export function parseBaseHeader(text: string, id: string): BaseHeader {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw stepFailure('BackupCorrupt', `header of base ${id} is not json`, { cause: error });
  }
  const parsed = headerSchema.safeParse(document);
  if (!parsed.success) {
    const first = parsed.error.issues[0];
    const where = first === undefined ? '' : `${first.path.join('.')}: ${first.message}`;
    throw stepFailure('BackupCorrupt', `header of base ${id} is not understood: ${where}`);
  }
  if (parsed.data.id !== id) {
    throw stepFailure('BackupCorrupt', `header of base ${id} says that it is base ${parsed.data.id}`);
  }
  return parsed.data;
}
