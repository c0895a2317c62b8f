/**
 * The thread side: everything that costs processor time (SHA-256, decompression, writing). All of it synchronous, because a thread has
 * nothing else to do, and because memory then stays flat (see codec-sync.ts).
 */
import { createHash } from 'node:crypto';
import { constants, openSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';

import { bytesOf } from './chunk-buffers.js';
import { createFileWriter, problemOfData, writeFully, type FileWriter } from './chunk-files.js';
import type {
  ChunkReply,
  ChunkRequest,
  ChunkTask,
  PackReply,
  PackRequest,
  UnpackReply,
  UnpackRequest,
  WalReply,
} from './chunk-messages.js';
import { unpackWal } from './chunk-wal.js';
import { loadSyncCodec, type SyncCodec } from './codec-sync.js';

type Tools = { codec: SyncCodec; files: FileWriter; stateFiles: Map<string, number> };

const DONE = Buffer.from([1]);

/** Serves requests until the process ends. */
export async function runChunkThread(): Promise<void> {
  const port = parentPort;
  if (port === null) throw new Error('not a thread');
  const tools: Tools = { codec: await loadSyncCodec(), files: createFileWriter(), stateFiles: new Map() };
  port.on('message', ({ id, request }: { id: number; request: ChunkRequest }) => {
    serve(tools, request).then(
      (reply) => {
        port.postMessage({ id, ok: true, reply } satisfies ChunkReply);
      },
      (error: unknown) => {
        port.postMessage({ id, ok: false, error: describe(error) } satisfies ChunkReply);
      },
    );
  });
}

function describe(error: unknown): { message: string; code: string | null } {
  if (!(error instanceof Error)) return { message: String(error), code: null };
  return { message: error.message, code: 'code' in error ? String(error.code) : null };
}

async function serve(tools: Tools, request: ChunkRequest): Promise<UnpackReply | WalReply | PackReply> {
  switch (request.kind) {
    case 'unpack':
      return unpack(tools, request);
    case 'wal':
      return unpackWal(tools.codec, request);
    case 'pack':
    default:
      return pack(tools, request);
  }
}

/** Chunks with a problem are reported and left; the others are written and marked. */
function unpack(tools: Tools, request: UnpackRequest): UnpackReply {
  const data = bytesOf(request.lease);
  const bad: UnpackReply['bad'] = [];
  for (const chunk of request.chunks) {
    const stored = data.subarray(chunk.at, chunk.at + chunk.bytes);
    const problem = unpackChunk(tools, request, chunk, stored);
    if (problem !== null) {
      bad.push({ number: chunk.number, problem });
      continue;
    }
    // Only now: a process that dies between the two writes its chunk again.
    writeFully(stateFile(tools, request.stateFile), DONE, request.markAt + chunk.number);
  }
  return { bad };
}

function unpackChunk(tools: Tools, request: UnpackRequest, chunk: ChunkTask, stored: Buffer): string | null {
  const sha256 = createHash('sha256').update(stored).digest('hex');
  if (sha256 !== chunk.sha256) return `has sha-256 ${sha256}, expected ${chunk.sha256}`;
  try {
    tools.codec.decompress(stored, request.compression, chunk.rawBytes, (raw, offset) => {
      for (const piece of chunk.pieces) writePart(tools.files, request, piece, raw, offset);
    });
    return null;
  } catch (error) {
    return problemOfData(error);
  }
}

/** The part of a piece that lies in `raw`, which starts at `offset` of the chunk. */
function writePart(
  files: FileWriter,
  { dir, owner }: UnpackRequest,
  piece: ChunkTask['pieces'][number],
  raw: Buffer,
  offset: number,
): void {
  const from = Math.max(piece.at, offset);
  const to = Math.min(piece.at + piece.bytes, offset + raw.length);
  if (from >= to) return;
  const fileOffset = piece.fileOffset + (from - piece.at);
  files.write(dir, owner, { ...piece, fileOffset }, raw.subarray(from - offset, to - offset));
}

function stateFile(tools: Tools, path: string): number {
  const known = tools.stateFiles.get(path);
  if (known !== undefined) return known;
  const fd = openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW);
  tools.stateFiles.set(path, fd);
  return fd;
}

function pack(tools: Tools, request: PackRequest): PackReply {
  const whole = bytesOf(request.lease);
  const bytes = tools.codec.compressInto(whole.subarray(0, request.bytes), request.compression, whole);
  if (bytes === null) throw new Error('a chunk grew beyond its buffer when it was compressed');
  const sha256 = createHash('sha256').update(whole.subarray(0, bytes)).digest('hex');
  return { bytes, sha256 };
}
