/**
 * What the main thread and the chunk threads say to each other. Data is in shared buffers: whoever has the message may touch them. (Buffers that
 * are handed over by transfer count as new memory on every side, and the collector then runs all the time.)
 */
import type { FilePiece } from './base-index.js';
import type { Lease } from './chunk-buffers.js';
import type { Owner } from './chunk-files.js';
import type { Compression } from './codec.js';
import type { ExpectedSegment } from './wal-page.js';

/** One chunk inside the buffer of a request. */
export type ChunkTask = {
  number: number;
  at: number;
  bytes: number;
  rawBytes: number;
  sha256: string;
  pieces: FilePiece[];
};

/** Verify, decompress and write chunks; then mark each as done in the state file (byte `markAt + number`). */
export type UnpackRequest = {
  kind: 'unpack';
  lease: Lease;
  compression: 'none' | 'gz' | 'lz4';
  dir: string;
  owner: Owner;
  stateFile: string;
  markAt: number;
  chunks: ChunkTask[];
};

/** Decompress a WAL file, check it, write it under a temporary name and rename it. `expected` is null for files that are no segments. */
export type WalRequest = {
  kind: 'wal';
  lease: Lease;
  compression: Compression;
  dir: string;
  name: string;
  owner: Owner;
  expected: ExpectedSegment | null;
  /** Of the decompressed content, where the store knows it. */
  sha1: string | null;
  limitBytes: number;
};

/** Compress the first `bytes` of the lease in place. */
export type PackRequest = {
  kind: 'pack';
  lease: Lease;
  bytes: number;
  compression: 'none' | 'gz' | 'lz4';
};

export type ChunkRequest = UnpackRequest | WalRequest | PackRequest;

/** `bad` names what the data says is wrong with itself; anything else that goes wrong is an `error`. */
export type UnpackReply = { bad: { number: number; problem: string }[] };
export type WalReply = { bad: string | null; rawBytes: number };
export type PackReply = { bytes: number; sha256: string };

export type ChunkReplies = { unpack: UnpackReply; wal: WalReply; pack: PackReply };

export type ChunkReply =
  | { id: number; ok: true; reply: UnpackReply | WalReply | PackReply }
  | { id: number; ok: false; error: { message: string; code: string | null } };
