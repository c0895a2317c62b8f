/** Dumps on this machine: one, or a directory of them. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';

import type { DumpObject } from '../../../shared/contracts/dev.js';
import { errorCodeOf } from '../../../shared/error-code.js';
import { stepFailure } from '../../lib/failure.js';
import type { DumpSource } from '../../lib/dump-source.js';
import { isDumpName } from './names.js';

export function createFileSource(place: string): DumpSource {
  return {
    kind: 'file',
    list: () => listFiles(place),
    pathOf: ({ id }) => id,
    fetch: () => Promise.resolve(),
  };
}

async function listFiles(place: string): Promise<DumpObject[]> {
  const names = await namesIn(place);
  if (names === null || names.includes('toc.dat')) return [await describe(place)];
  const found = await Promise.all(
    names.filter(isDumpName).map(async (name) => {
      const one = path.join(place, name);
      const inside = await namesIn(one);
      // pg_dump writes toc.dat last: without it a directory is not complete.
      return inside === null || inside.includes('toc.dat') ? [await describe(one)] : [];
    }),
  );
  const dumps = found.flat().sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
  if (dumps.length > 0) return dumps;
  throw stepFailure('NotFound', `there is no dump in ${place}`, { hint: 'put one there, or name another --source' });
}

/** Null for a file. */
async function namesIn(place: string): Promise<string[] | null> {
  try {
    return await readdir(place);
  } catch (error) {
    if (errorCodeOf(error) === 'ENOTDIR') return null;
    throw unreadable(place, error);
  }
}

async function describe(file: string): Promise<DumpObject> {
  const facts = await stat(file).catch((error: unknown) => {
    throw unreadable(file, error);
  });
  const createdAt = facts.mtime.toISOString();
  if (!facts.isDirectory()) return { id: file, name: path.basename(file), bytes: facts.size, createdAt };
  let bytes = 0;
  for (const name of await readdir(file)) bytes += (await stat(path.join(file, name))).size;
  return { id: file, name: path.basename(file), bytes, createdAt };
}

function unreadable(file: string, error: unknown): Error {
  const code = errorCodeOf(error) ?? 'unknown';
  return stepFailure(code === 'ENOENT' ? 'NotFound' : 'PreconditionFailed', `cannot read ${file}: ${code}`, {
    hint: 'the source names a dump on the host of the restore; nothing was touched',
  });
}
