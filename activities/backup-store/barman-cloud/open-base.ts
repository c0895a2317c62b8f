/** One base of a barman-cloud bucket on its way into its directory: its archives one after another, each unpacked while it comes. */
import { ApplicationFailure } from '@temporalio/common';

import { stepFailure } from '../../lib/failure.js';
import { saveBaseState } from '../base-state.js';
import type { Owner } from '../chunk-files.js';
import { heldTogether } from '../held-together.js';
import type { OpenBase } from '../mover-base.js';
import type { MoverTools } from '../mover-tools.js';
import { proveBase } from '../prove-base.js';
import type { ObjectStore } from '../s3-objects.js';
import { readInOrder, unpackStream } from './archive-stream.js';
import { readBase, type BarmanBase, type StoredArchive } from './catalog.js';
import { compressionOf } from './object-names.js';
import { createExtractor, finishTree, makeBaseDir, type Place } from './extract.js';
import { openState, type BarmanFetchState } from './fetch-state.js';
import { createTarReader } from './tar-reader.js';

/** Where the bases lie: the bucket itself, not its view. */
export type BarmanSource = { objects: Pick<ObjectStore, 'list' | 'get'>; server: string };

type Context = { tools: MoverTools; source: BarmanSource; base: BarmanBase; place: Place; state: BarmanFetchState };

/** Unpacked bytes between two notes of how far an archive is: with the file under way, what a killed transfer writes again at most. */
const NOTE_EVERY_BYTES = 64 * 1024 * 1024;

/**
 * Reads what the bucket says of the base and says what is still to be fetched. Throws BackupCorrupt or PreconditionFailed when the base is not there or
 * cannot be restored from here, SandboxNotOurs when `dir` holds other files; all of that before anything is written.
 */
export async function openBarmanBase(
  tools: MoverTools,
  source: BarmanSource,
  id: string,
  dir: string,
  owner: Owner,
): Promise<OpenBase> {
  const base = await readBase(source.objects, source.server, id);
  const place = { dir, owner };
  const state = await openState(dir, base.header, owner);
  const { bytes } = base.header.sizes;
  if (state.isComplete) {
    tools.progress.expect(bytes, bytes);
    return { header: base.header, transfers: [], finish: () => undefined };
  }
  makeBaseDir(place);
  const pending = base.archives.filter(({ file }) => !state.done.includes(file));
  const missing = pending.reduce((sum, archive) => sum + archive.bytes - firstByte(state, archive), 0);
  tools.progress.expect(bytes, bytes - missing);
  const context = { tools, source, base, place, state };
  const finish = (): void => {
    finishTree(place, state);
    proveBase({ ...place, header: base.header, source: 'backup.info', backupLabel: base.info.backupLabel });
    state.isComplete = true;
    saveBaseState(dir, state, owner);
  };
  // One after another: a file that is in two of them counts as it is in the later one.
  const transfer = async (): Promise<void> => {
    for (const archive of pending) await transferArchive(context, archive);
  };
  return { header: base.header, transfers: pending.length === 0 ? [] : heldTogether(transfer), finish };
}

/** A plain tar is read on from where it was; one that is compressed only from its beginning, without writing the files again. */
function firstByte(state: BarmanFetchState, { ending, file }: StoredArchive): number {
  return ending === '' ? (state.written[file] ?? 0) : 0;
}

async function transferArchive({ tools, source, base, place, state }: Context, archive: StoredArchive): Promise<void> {
  const { file, key, bytes, ending } = archive;
  const start = firstByte(state, archive);
  const extractor = createExtractor(place, state, state.written[file] ?? 0);
  const reader = createTarReader(extractor, start);
  let sinceNote = 0;
  const take = (raw: Buffer): void => {
    reader.feed(raw);
    sinceNote += raw.length;
    if (sinceNote < NOTE_EVERY_BYTES) return;
    sinceNote = 0;
    state.written[file] = Math.max(state.written[file] ?? 0, reader.boundary());
    saveBaseState(place.dir, state, place.owner);
  };
  try {
    await unpackStream(
      readInOrder({ ...tools, objects: { ...tools.objects, get: source.objects.get } }, key, start, bytes),
      compressionOf(ending) ?? 'none',
      take,
    );
    reader.end();
  } catch (error) {
    throw typed(error, base.header.id, archive);
  } finally {
    extractor.close();
  }
  state.done.push(file);
  saveBaseState(place.dir, state, place.owner);
}

/** What the data says of itself is BackupCorrupt; the disk's errors are the machine's. */
function typed(error: unknown, id: string, { key }: StoredArchive): Error {
  if (error instanceof ApplicationFailure) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof Error && 'syscall' in error) {
    const code = 'code' in error ? String(error.code) : '';
    if (code === 'ENOSPC' || code === 'EDQUOT') return stepFailure('SpaceMissing', `no space left: ${message}`);
    return stepFailure('PreconditionFailed', `cannot write: ${message}`);
  }
  return stepFailure('BackupCorrupt', `base ${id} is damaged: object ${key}: ${message}`, {
    hint: 'nothing was promoted; recover from another base or put a good copy of the object back, then `pgr retry`',
    cause: error,
  });
}
