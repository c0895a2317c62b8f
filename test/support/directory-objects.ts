/** An ObjectStore over a directory, which counts what is read: `key` is a path below the root. */
import { mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { ObjectFacts, ObjectStore } from '../../activities/backup-store/s3-objects.js';
import { stepFailure } from '../../activities/lib/failure.js';

export type DirectoryObjects = ObjectStore & {
  root: string;
  /** Keys of all `get` calls so far. */
  reads: string[];
  lists: string[];
  /** Sets the time of an object. */
  touch(key: string, at: Date): Promise<void>;
};

export function directoryObjects(root: string): DirectoryObjects {
  const file = (key: string): string => path.join(root, key);
  const reads: string[] = [];
  const lists: string[] = [];
  const facts = async (key: string): Promise<ObjectFacts> => {
    const { size, mtime } = await stat(file(key));
    return { key, bytes: size, lastModified: mtime.toISOString() };
  };
  const objects: DirectoryObjects = {
    root,
    reads,
    lists,
    async list(prefix) {
      lists.push(prefix);
      const dir = prefix.slice(0, prefix.lastIndexOf('/') + 1);
      const names = await readdir(file(dir), { recursive: true, withFileTypes: true }).catch(() => []);
      const keys = names
        .filter((entry) => entry.isFile())
        .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
        .filter((key) => key.startsWith(prefix))
        .sort();
      return Promise.all(keys.map(facts));
    },
    async head(key) {
      return facts(key).catch(() => null);
    },
    async get(key, range) {
      reads.push(key);
      const body = await readFile(file(key)).catch(() => {
        throw stepFailure('NotFound', `no such object ${key}`);
      });
      return range === undefined ? body : body.subarray(range.start, range.end + 1);
    },
    async put(key, body, options = {}) {
      const there = await objects.head(key);
      if (options.ifAbsent === true && there !== null) return 'exists';
      await mkdir(path.dirname(file(key)), { recursive: true });
      await writeFile(file(key), body);
      return 'written';
    },
    async putFromParts(key, parts) {
      const all: Buffer[] = [];
      for await (const part of parts) all.push(part);
      await objects.put(key, Buffer.concat(all));
      return { bytes: all.reduce((sum, part) => sum + part.length, 0) };
    },
    async touch(key, at) {
      await utimes(file(key), at, at);
    },
  };
  return objects;
}
