/**
 * Writes and reads fence markers (shared/fence-file.ts). Placed and removed atomically and durably: after a power cut a node is fenced or it is
 * not, as the caller was told. Every call may be repeated.
 */
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';

import { errorCodeOf } from '../../shared/error-code.js';
import { fenceFileFor, isFenceOf, parseFenceMarker, type FenceMarker } from '../../shared/fence-file.js';
import { stepFailure } from './failure.js';
import { writeWhole } from './write-whole.js';

/** pg-health may run as another user than the worker; there is nothing secret in a marker. */
const FILE_MODE = 0o644;
const DIRECTORY_MODE = 0o755;

export type FenceState = { fenced: false } | { fenced: true; marker: FenceMarker };

/**
 * Fences a node for pg-health; a marker that is there already stays as it is. Throws FenceFailed when it cannot be written or read, or when
 * the file belongs to another node.
 */
export async function writeFence(
  stateDir: string,
  marker: FenceMarker,
): Promise<{ outcome: 'fenced' | 'already-fenced' }> {
  const present = await readFence(stateDir, marker.environment, marker.node);
  if (present.fenced) return { outcome: 'already-fenced' };
  const file = fenceFileFor(stateDir, marker.environment, marker.node);
  await attempt(file, async () => {
    await mkdir(path.dirname(file), { recursive: true, mode: DIRECTORY_MODE });
    await writeWhole(file, `${JSON.stringify(marker)}\n`, { mode: FILE_MODE, flush: true });
    await syncDirectory(path.dirname(file));
    await syncDirectory(path.dirname(path.dirname(file)));
  });
  const written = await readFence(stateDir, marker.environment, marker.node);
  if (written.fenced) return { outcome: 'fenced' };
  throw fenceFailure(file, 'it is gone right after it was written');
}

/** Removes the marker of a node, whoever placed it. Throws FenceFailed when it cannot, or when the file belongs to another node. */
export async function removeFence(
  stateDir: string,
  environment: string,
  node: string,
): Promise<{ outcome: 'removed' | 'already-removed' }> {
  const present = await readFence(stateDir, environment, node);
  if (!present.fenced) return { outcome: 'already-removed' };
  const file = fenceFileFor(stateDir, environment, node);
  await attempt(file, async () => {
    await rm(file, { force: true });
    await syncDirectory(path.dirname(file));
  });
  return { outcome: 'removed' };
}

/** Whether a node is fenced. A marker that cannot be read or understood, or that is another node's, throws FenceFailed: it is not "no fence". */
export async function readFence(stateDir: string, environment: string, node: string): Promise<FenceState> {
  const file = fenceFileFor(stateDir, environment, node);
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    const code = errorCodeOf(error);
    if (code === 'ENOENT') return null;
    throw fenceFailure(file, code ?? 'unknown error');
  });
  if (text === null) return { fenced: false };
  const marker = parseFenceMarker(text);
  if (marker === null) throw fenceFailure(file, 'it is not a fence marker');
  if (isFenceOf(marker, environment, node)) return { fenced: true, marker };
  throw fenceFailure(file, `it fences node ${marker.node} of ${marker.environment}, whose names give the same file`);
}

async function attempt(file: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw fenceFailure(file, errorCodeOf(error) ?? 'unknown error');
  }
}

function fenceFailure(file: string, why: string): Error {
  return stepFailure('FenceFailed', `the fence marker ${file} cannot be used: ${why}`, {
    hint: 'look at the file and at the permissions of its directory, then `pgr retry`',
  });
}

async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
