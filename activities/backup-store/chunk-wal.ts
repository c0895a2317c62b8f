/** One WAL file into the spool: complete and checked under its plain name, or not there. */
import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, renameSync } from 'node:fs';
import { join } from 'node:path';

import { bytesOf } from './chunk-buffers.js';
import { openFile, problemOfData, writeFully } from './chunk-files.js';
import type { WalReply, WalRequest } from './chunk-messages.js';
import { decompress, type Compression } from './codec.js';
import type { SyncCodec } from './codec-sync.js';
import { problemOfDigest } from './wal-archive.js';
import { problemOfFirstPage } from './wal-page.js';

/** Decompresses, checks, writes `<name>.tmp` and renames it. A file with a problem is not renamed. */
export async function unpackWal(codec: SyncCodec, request: WalRequest): Promise<WalReply> {
  const temporary = join(request.dir, `${request.name}.tmp`);
  const fd = openFile(temporary, 0o600, request.owner);
  let result: { bad: string | null; rawBytes: number };
  try {
    result = await writeContent(codec, request, fd);
    // What an earlier attempt left beyond the end.
    if (result.bad === null) ftruncateSync(fd, result.rawBytes);
  } catch (error) {
    result = { bad: problemOfData(error), rawBytes: 0 };
  } finally {
    closeSync(fd);
  }
  if (result.bad === null) renameSync(temporary, join(request.dir, request.name));
  return result;
}

async function writeContent(
  codec: SyncCodec,
  request: WalRequest,
  fd: number,
): Promise<{ bad: string | null; rawBytes: number }> {
  const { expected, compression, limitBytes } = request;
  const stored = bytesOf(request.lease);
  if (expected === null || !isSync(compression)) {
    const raw = await decompress(stored, compression, limitBytes);
    const bad =
      (expected === null ? null : problemOfWhole(raw, expected)) ??
      problemOfDigest(request.sha1, () => createHash('sha1').update(raw).digest('hex'));
    writeFully(fd, raw, 0);
    return { bad, rawBytes: raw.length };
  }
  let bad: string | null = null;
  const hash = request.sha1 === null ? null : createHash('sha1');
  codec.decompress(stored, compression, expected.segmentBytes, (raw, offset) => {
    if (offset === 0) bad = problemOfFirstPage(raw, expected);
    hash?.update(raw);
    writeFully(fd, raw, offset);
  });
  bad ??= problemOfDigest(request.sha1, () => hash?.digest('hex') ?? '');
  return { bad, rawBytes: expected.segmentBytes };
}

/** What the codec of this thread knows; the others come out as a whole. */
function isSync(compression: Compression): compression is 'none' | 'gz' | 'lz4' {
  return compression === 'none' || compression === 'gz' || compression === 'lz4';
}

function problemOfWhole(raw: Buffer, expected: NonNullable<WalRequest['expected']>): string | null {
  return raw.length === expected.segmentBytes
    ? problemOfFirstPage(raw, expected)
    : `holds ${String(raw.length)} of ${String(expected.segmentBytes)} bytes`;
}
