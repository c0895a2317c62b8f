/** An archive of pg_dump that is read by ourselves: its table of contents, and the rows of one table after the other in any order. */
import { createReadStream } from 'node:fs';
import { open, readdir, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { Readable, type Transform } from 'node:stream';
import { createGunzip, createInflate } from 'node:zlib';

import { stepFailure } from '../../lib/failure.js';
import { codeOf } from '../data-directory.js';
import { outputOf } from '../dump/piped.js';
import { decompressCommand } from '../dump/commands.js';
import { readBlock, scanBlocks, type Block } from './blocks.js';
import { parseToc, TocCutOff, type ArchiveCompression, type Toc, type TocEntry } from './toc.js';

export type Archive = {
  path: string;
  toc: Toc;
  /** Stored (compressed) bytes of the data of an entry; 0 when it has none. */
  bytesOf(id: number): number;
  /** The data of an entry; `onRead` is told of stored bytes as they are read. Throws BackupCorrupt. */
  read(entry: TocEntry, onRead: (bytes: number) => void): AsyncIterable<Buffer>;
  close(): Promise<void>;
};

const FIRST_HEAD_BYTES = 1024 * 1024;
/** Pieces that are handed on are at least this large: every one of them costs a turn of the event loop. */
const PIECE_BYTES = 256 * 1024;

/** Opens a file of the custom format or a directory. Throws BackupCorrupt, PreconditionFailed. */
export async function openArchive(file: string): Promise<Archive> {
  const facts = await stat(file).catch((error: unknown) => {
    throw stepFailure('NotFound', `cannot read ${file}: ${codeOf(error)}`);
  });
  const isDirectory = facts.isDirectory();
  const handle = await open(isDirectory ? path.join(file, 'toc.dat') : file, 'r');
  try {
    const toc = await readToc(handle, file);
    return isDirectory ? await directoryArchive(file, toc, handle) : await customArchive(file, toc, handle);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Only the table of contents. */
export async function readTocOf(file: string): Promise<Toc> {
  const isDirectory = (await stat(file)).isDirectory();
  const handle = await open(isDirectory ? path.join(file, 'toc.dat') : file, 'r');
  try {
    return await readToc(handle, file);
  } finally {
    await handle.close();
  }
}

async function readToc(handle: FileHandle, file: string): Promise<Toc> {
  const { size } = await handle.stat();
  for (let bytes = FIRST_HEAD_BYTES; ; bytes *= 4) {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.min(bytes, size)), 0, Math.min(bytes, size), 0);
    try {
      return parseToc(buffer.subarray(0, bytesRead));
    } catch (error) {
      if (!(error instanceof TocCutOff)) throw damaged(file, error);
      if (bytes >= size) throw damaged(file, new Error('it ends inside of its table of contents'));
    }
  }
}

async function customArchive(file: string, toc: Toc, handle: FileHandle): Promise<Archive> {
  const blocks = await blocksOf(file, toc, handle);
  const stored = (entry: TocEntry, onRead: (bytes: number) => void): AsyncIterable<Buffer> => {
    const block = blocks.get(entry.id);
    if (block === undefined) throw damaged(file, new Error(`the rows of ${entry.tag} are not in it`));
    return counted(readBlock(handle, toc.intBytes, block), onRead);
  };
  return {
    path: file,
    toc,
    bytesOf: (id) => blocks.get(id)?.bytes ?? 0,
    read: (entry, onRead) => guarded(file, decoded(stored(entry, onRead), toc.compression)),
    close: () => handle.close(),
  };
}

/** Offsets stand in the table of contents, unless pg_dump wrote into a pipe: then the file is walked through once. */
async function blocksOf(file: string, toc: Toc, handle: FileHandle): Promise<Map<number, Block>> {
  const wanted = toc.entries.filter(({ hasData }) => hasData);
  const { size } = await handle.stat();
  const blocks = wanted.every(({ offset }) => offset !== null)
    ? blocksByOffset(wanted, size)
    : await scanBlocks(handle, toc.intBytes, toc.endsAt).catch((error: unknown) => {
        throw damaged(file, error);
      });
  return new Map(blocks.map((block) => [block.id, block]));
}

function blocksByOffset(entries: readonly TocEntry[], fileBytes: number): Block[] {
  const sorted = entries.map(({ id, offset }) => ({ id, offset: offset ?? 0 })).sort((a, b) => a.offset - b.offset);
  return sorted.map(({ id, offset }, at) => ({ id, offset, bytes: (sorted[at + 1]?.offset ?? fileBytes) - offset }));
}

const ENDINGS: Readonly<Record<string, ArchiveCompression>> = { '.gz': 'gzip', '.lz4': 'lz4', '.zst': 'zstd' };

async function directoryArchive(dir: string, toc: Toc, handle: FileHandle): Promise<Archive> {
  await handle.close();
  const files = new Map<string, { file: string; compression: ArchiveCompression; bytes: number }>();
  for (const name of await readdir(dir)) {
    const ending = path.extname(name);
    const compression = ENDINGS[ending] ?? 'none';
    const plain = compression === 'none' ? name : name.slice(0, -ending.length);
    const file = path.join(dir, name);
    files.set(plain, { file, compression, bytes: (await stat(file)).size });
  }
  const byId = new Map(toc.entries.map((entry) => [entry.id, entry]));
  return {
    path: dir,
    toc,
    bytesOf: (id) => files.get(byId.get(id)?.fileName ?? '')?.bytes ?? 0,
    read: (entry, onRead) => {
      const found = files.get(entry.fileName ?? '');
      if (found === undefined) throw damaged(dir, new Error(`there is no file ${entry.fileName ?? ''}`));
      const stored = counted(createReadStream(found.file, { highWaterMark: PIECE_BYTES }), onRead);
      return guarded(dir, decoded(stored, found.compression === 'gzip' ? 'gzip-file' : found.compression));
    },
    close: () => Promise.resolve(),
  };
}

async function* counted(pieces: AsyncIterable<Buffer>, onRead: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const piece of pieces) {
    onRead(piece.length);
    yield piece;
  }
}

function decoded(stored: AsyncIterable<Buffer>, compression: ArchiveCompression | 'gzip-file'): AsyncIterable<Buffer> {
  switch (compression) {
    case 'none':
      return stored;
    // The custom format holds bare zlib streams, a directory gzip files.
    case 'gzip':
      return unpacked(stored, createInflate({ chunkSize: PIECE_BYTES }));
    case 'gzip-file':
      return unpacked(stored, createGunzip({ chunkSize: PIECE_BYTES }));
    case 'lz4':
    case 'zstd':
    default:
      return piped(stored, compression);
  }
}

async function* unpacked(stored: AsyncIterable<Buffer>, inflate: Transform): AsyncGenerator<Buffer> {
  const source = Readable.from(stored, { objectMode: true, highWaterMark: 2 });
  source.on('error', (error) => inflate.destroy(error));
  try {
    for await (const piece of source.pipe(inflate)) yield piece as Buffer;
  } finally {
    source.destroy();
    inflate.destroy();
  }
}

/** Through the program of that compression. */
async function* piped(stored: AsyncIterable<Buffer>, compression: 'lz4' | 'zstd'): AsyncGenerator<Buffer> {
  const [program, args] = decompressCommand(compression, '-');
  const source = Readable.from(stored, { objectMode: true, highWaterMark: 2 });
  try {
    yield* outputOf({
      program,
      args: args.filter((arg) => arg !== '--' && arg !== '-'),
      input: source,
      failed: (stderr) => new Error(`${program} says: ${stderr.trim().split('\n').at(-1) ?? ''}`),
    });
  } finally {
    source.destroy();
  }
}

/** What goes wrong while an archive is read is damage of it; failures of our own pass. */
async function* guarded(file: string, pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* pieces;
  } catch (error) {
    throw damaged(file, error);
  }
}

function damaged(file: string, error: unknown): unknown {
  if (error instanceof Error && error.name === 'ApplicationFailure') return error;
  const why = error instanceof Error ? error.message : String(error);
  return stepFailure('BackupCorrupt', `${file} is damaged, cut off or not readable here: ${why}`, {
    hint: 'the database in use was not touched; fetch the dump again, or take an older one',
  });
}
