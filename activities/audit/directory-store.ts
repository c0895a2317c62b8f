/**
 * Records as files: `<path>/<folder>/000001.json` …, and `head.json` beside them. A file appears complete and synced under its
 * name or not at all (temporary file, fsync, link without replacing, fsync of the directory), so a power cut leaves no half entry.
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import path from 'node:path';

import { errorCodeOf } from '../../shared/error-code.js';
import { stepFailure } from '../lib/failure.js';
import { entryNameFor, HEAD_NAME, parseHead, seqOfEntryName, type RecordStore } from './record-store.js';

/** Readable for the group at most: records name people and systems. */
const FILE_MODE = 0o640;
const DIRECTORY_MODE = 0o750;

/** A store below `root`; the directory is created with the first entry. Failures of the file system are RecordUnavailable. */
export function createDirectoryStore(root: string): RecordStore {
  const at = (...parts: string[]): string => path.join(root, ...parts);
  return {
    listFolders: () => guarded(root, async () => (await namesIn(root, 'directories')) ?? []),
    readFolder: (folder) =>
      guarded(at(folder), async () => {
        const names = (await namesIn(at(folder), 'files')) ?? [];
        const entries = names.filter((name) => name !== HEAD_NAME && !name.startsWith('.')).sort();
        return Promise.all(
          entries.map(async (name) => ({
            name,
            seq: seqOfEntryName(name),
            text: await readFile(at(folder, name), 'utf8'),
          })),
        );
      }),
    readEntry: (folder, seq) => guarded(at(folder), () => readIfThere(at(folder, entryNameFor(seq)))),
    createEntry: (folder, seq, text) =>
      guarded(at(folder), async () => {
        await mkdir(at(folder), { recursive: true, mode: DIRECTORY_MODE });
        await syncDirectory(root);
        return createFile(at(folder), entryNameFor(seq), text);
      }),
    readHead: (folder) =>
      guarded(at(folder), async () => {
        const text = await readIfThere(at(folder, HEAD_NAME));
        return text === null ? null : parseHead(text);
      }),
    writeHead: (folder, head) =>
      guarded(at(folder), async () => {
        const temporary = await writeTemporary(at(folder), `${JSON.stringify(head)}\n`);
        await rename(temporary, at(folder, HEAD_NAME));
        await syncDirectory(at(folder));
      }),
  };
}

async function createFile(directory: string, name: string, text: string): Promise<'created' | 'exists'> {
  const temporary = await writeTemporary(directory, text);
  try {
    // Unlike rename, link refuses to replace what is there.
    await link(temporary, path.join(directory, name));
    await syncDirectory(directory);
    return 'created';
  } catch (error) {
    if (errorCodeOf(error) === 'EEXIST') return 'exists';
    throw error;
  } finally {
    await unlink(temporary);
  }
}

async function writeTemporary(directory: string, text: string): Promise<string> {
  const temporary = path.join(directory, `.new-${randomUUID()}`);
  const file = await open(temporary, 'wx', FILE_MODE);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  return temporary;
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function namesIn(directory: string, what: 'files' | 'directories'): Promise<string[] | null> {
  try {
    const found = await readdir(directory, { withFileTypes: true });
    return found.filter((entry) => entry.isDirectory() === (what === 'directories')).map(({ name }) => name);
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

async function guarded<T>(place: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    throw stepFailure(
      'RecordUnavailable',
      `the record store at ${place} is not usable (${errorCodeOf(cause) ?? String(cause)})`,
      {
        hint: 'the change did not happen; make the directory writable for the worker, then `pgr retry`',
        cause,
      },
    );
  }
}
