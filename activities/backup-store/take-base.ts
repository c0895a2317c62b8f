/**
 * Takes a base of a running server and stores it while it is read: nothing is staged on disk. What it needs: a login that may take
 * base backups and read pg_settings. On a retry: a base with this id that is complete is the result; a half-written one is written anew,
 * because only `base.json`, the last object, makes it a base.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

import type { TakeBaseResult } from '../../shared/contracts/activities.js';
import type { TakeBaseOptions } from '../lib/backup-store.js';
import { stepFailure } from '../lib/failure.js';
import { faultPoint } from '../lib/fault-points.js';
import { baseKeys, readBaseHeader, type BaseHeader } from './base-catalog.js';
import { encodeIndex } from './base-index.js';
import type { JobReporter } from './base-job.js';
import { createBufferPool } from './chunk-buffers.js';
import { createChunkPool } from './chunk-pool.js';
import { endingOf } from './codec.js';
import type { ObjectStore } from './s3-objects.js';
import { watchArchive } from './take-base-archive-watch.js';
import { readArchiver, readServer, readServerClock, refuseServer, type ServerFacts } from './take-base-facts.js';
import { readManifest, type ManifestFacts } from './take-base-manifest.js';
import { readParent, type Parent } from './take-base-parent.js';
import { majorOfBackupProgram, startBackup } from './take-base-program.js';
import { packStream, type PackedStream } from './take-base-stream.js';

export type TakeBaseDeps = {
  objects: ObjectStore;
  compression: 'none' | 'gz' | 'lz4';
  reporter: JobReporter;
  /** This program's own file: the chunk threads run it too. */
  programPath: string;
};

/** All data is in the store, only `base.json` is missing. */
const FAULT_BASE_WITHOUT_HEADER = 'take-base-without-header';

const BUFFER_BYTES = 64 * 1024 * 1024;
const THREADS = 2;

const deflate = promisify(gzip);

/** Takes the base `options.id`. */
export async function takeBase(options: TakeBaseOptions, deps: TakeBaseDeps): Promise<TakeBaseResult> {
  const started = Date.now();
  const { objects } = deps;
  const present = (await objects.head(baseKeys(options.id).header)) !== null;
  if (present) return resultOf(await readBaseHeader(objects, options.id), 0);
  const server = await readServer(options.connection);
  refuseServer(server, options.kind, await majorOfBackupProgram(options.binDir));
  const parent = options.kind === 'incremental' ? await readParent(objects, server) : null;
  const header = await withManifestFile(parent, (file) => copyBase(options, deps, server, parent, file));
  faultPoint(FAULT_BASE_WITHOUT_HEADER);
  await objects.put(baseKeys(options.id).header, Buffer.from(`${JSON.stringify(header, null, 2)}\n`));
  return resultOf(await readBaseHeader(objects, options.id), (Date.now() - started) / 1000);
}

/** Streams the base into the store; everything but the header. */
async function copyBase(
  options: TakeBaseOptions,
  deps: TakeBaseDeps,
  server: ServerFacts & { now: string },
  parent: Parent | null,
  manifestFile: string | null,
): Promise<BaseHeader> {
  const threads = createChunkPool(deps.programPath, THREADS);
  const backup = startBackup(options, manifestFile);
  try {
    const tools = { threads, buffers: createBufferPool(BUFFER_BYTES), compression: deps.compression };
    // An incremental base reads everything and sends little: its size is not known before.
    const total = options.kind === 'full' && server.databaseBytes > 0 ? server.databaseBytes : null;
    let rawRead = 0;
    let lastByteAt = Date.now();
    const packed = packStream(backup.stdout, tools, (bytes) => {
      rawRead += bytes;
      lastByteAt = Date.now();
      deps.reporter.progress({ done: rawRead, total: total === null ? null : Math.max(total, rawRead), unit: 'bytes' });
    });
    const tar = `base.tar${endingOf(deps.compression)}`;
    const guarded = untilEnded(packed.pieces, () => backup.ended());
    const stopWatching = watchArchive({
      idleMs: () => Date.now() - lastByteAt,
      readArchiver: () => readArchiver(options.connection),
      giveUp: (failure) => {
        backup.kill(failure);
      },
    });
    const key = baseKeys(options.id).folder + tar;
    const { bytes } = await deps.objects.putFromParts(key, guarded).finally(stopWatching);
    const endedAt = await readServerClock(options.connection);
    return await storeIndex({ options, deps, server, parent, packed, tar, bytes, endedAt });
  } finally {
    backup.kill();
    await threads.close();
  }
}

/** The upload is completed only when the program has ended well: a backup that broke off leaves no object. */
async function* untilEnded(pieces: AsyncGenerator<Buffer>, ended: () => Promise<void>): AsyncGenerator<Buffer> {
  yield* pieces;
  await ended();
}

type Copied = {
  options: TakeBaseOptions;
  deps: TakeBaseDeps;
  server: ServerFacts & { now: string };
  parent: Parent | null;
  packed: PackedStream;
  tar: string;
  bytes: number;
  endedAt: string;
};

async function storeIndex(copied: Copied): Promise<BaseHeader> {
  const { options, deps, packed } = copied;
  const keys = baseKeys(options.id);
  const files = packed.files();
  const manifest = packed.manifest();
  if (manifest === null) throw stepFailure('CommandFailed', 'pg_basebackup wrote no manifest');
  const facts = readManifest(manifest, `base ${options.id}`);
  refuseOtherSystem(facts, copied.server);
  const storedManifest = await deflate(manifest, { level: 6 });
  await deps.objects.put(keys.manifest, storedManifest);
  const index = await encodeIndex({ api: 1, chunks: packed.chunks(), files });
  await deps.objects.put(keys.index, index);
  return headerOf(copied, facts, { index: sha256(index), manifest: sha256(storedManifest) });
}

/** The facts were read over another connection than the data: both must be of one cluster. */
function refuseOtherSystem(manifest: ManifestFacts, server: ServerFacts): void {
  if (manifest.systemIdentifier !== null && manifest.systemIdentifier !== server.systemIdentifier) {
    throw stepFailure(
      'IdentityMismatch',
      `the base is of system ${manifest.systemIdentifier}, the server said ${server.systemIdentifier}`,
    );
  }
}

function headerOf(
  { options, deps, server, parent, packed, tar, bytes, endedAt }: Copied,
  manifest: ManifestFacts,
  sha256s: BaseHeader['sha256s'],
): BaseHeader {
  const files = packed.files();
  const chunks = packed.chunks();
  const rawBytes = chunks.reduce((sum, chunk) => sum + chunk.rawBytes, 0);
  return {
    api: 1,
    id: options.id,
    kind: options.kind,
    systemIdentifier: server.systemIdentifier,
    postgresMajor: server.postgresMajor,
    postgresVersion: server.postgresVersion,
    walSegmentBytes: server.walSegmentBytes,
    timeline: manifest.timeline,
    startLsn: manifest.startLsn,
    stopLsn: manifest.stopLsn,
    startedAt: server.now,
    endedAt,
    parentId: parent?.header.id ?? null,
    compression: deps.compression,
    tar,
    sizes: {
      bytes,
      rawBytes,
      restoredBytes: files.reduce((sum, file) => sum + file.size, 0),
      files: files.filter(({ type }) => type === 'file').length,
      chunks: chunks.length,
    },
    sha256s,
    settings: {
      maxConnections: server.maxConnections,
      maxWorkerProcesses: server.maxWorkerProcesses,
      maxWalSenders: server.maxWalSenders,
      maxPreparedTransactions: server.maxPreparedTransactions,
      maxLocksPerTransaction: server.maxLocksPerTransaction,
    },
  };
}

/** pg_basebackup wants the parent's manifest as a file. */
async function withManifestFile<T>(parent: Parent | null, use: (file: string | null) => Promise<T>): Promise<T> {
  if (parent === null) return use(null);
  const dir = await mkdtemp(join(tmpdir(), 'pgr-manifest-'));
  try {
    const file = join(dir, 'backup_manifest');
    await writeFile(file, parent.manifest, { mode: 0o600 });
    return await use(file);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function resultOf(header: BaseHeader, seconds: number): TakeBaseResult {
  const { id, kind, timeline, startLsn, stopLsn, sizes } = header;
  return { id, kind, timeline, startLsn, stopLsn, bytes: sizes.bytes, rawBytes: sizes.restoredBytes, seconds };
}

function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
