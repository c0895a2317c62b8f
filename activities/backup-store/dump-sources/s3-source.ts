/** Dumps in a bucket: single objects, or folders of the directory format. They come by ranges, so that a fetch that was killed goes on where it was. */
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  readFileSync,
} from 'node:fs';
import path from 'node:path';

import type { DumpSourceConfig } from '../../../config/schema.js';
import type { DumpObject } from '../../../shared/contracts/dev.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import type { DumpSource } from '../../lib/dump-source.js';
import { writeFully } from '../chunk-files.js';
import type { ObjectFacts, ObjectStore } from '../s3-objects.js';
import { dayOf, isDumpName, nameMatches } from './names.js';

type S3SourceConfig = Extract<DumpSourceConfig, { kind: 's3' }>;

const PIECE_BYTES = 8 * 1024 * 1024;
const AT_ONCE = 4;
const FAULT_PIECE = 'restore-dev:fetched-piece';

export function createS3Source(
  config: Pick<S3SourceConfig, 'bucket' | 'prefix' | 'match'>,
  store: Pick<ObjectStore, 'list' | 'get' | 'head'>,
): DumpSource {
  return {
    kind: 's3',
    list: async () => {
      const dumps = dumpsOf(await store.list(''), config.match);
      if (dumps.length > 0) return dumps;
      throw stepFailure('NotFound', `there is no dump ${config.match} below ${config.bucket}/${config.prefix}`, {
        hint: 'check prefix and match of the source, or name another --source',
      });
    },
    pathOf: () => null,
    fetch: async (dump, to, onBytes) => {
      if (!dump.id.endsWith('/')) return fetchObject(store, dump.id, to, onBytes);
      const files = await store.list(dump.id);
      mkdirSync(`${to}.tmp`, { recursive: true, mode: 0o700 });
      let before = 0;
      for (const { key, bytes } of files) {
        const base = before;
        await fetchObject(store, key, path.join(`${to}.tmp`, path.basename(key)), (done) => {
          onBytes(base + done);
        });
        before += bytes;
      }
      renameSync(`${to}.tmp`, to);
    },
  };
}

/** Newest first: by the day in the key, then by the time of writing. Pure. */
export function dumpsOf(objects: readonly ObjectFacts[], match: string): DumpObject[] {
  const folders = new Set(
    objects.flatMap(({ key }) => (path.posix.basename(key) === 'toc.dat' ? [`${path.posix.dirname(key)}/`] : [])),
  );
  const folderOf = (key: string): string | undefined => [...folders].find((folder) => key.startsWith(folder));
  const single = objects
    .filter(({ key, bytes }) => bytes > 0 && folderOf(key) === undefined && isDumpName(path.posix.basename(key)))
    .map(({ key, bytes, lastModified }) => ({
      id: key,
      name: path.posix.basename(key),
      bytes,
      createdAt: lastModified,
    }));
  const directories = [...folders].map((id) => {
    const inside = objects.filter(({ key }) => key.startsWith(id));
    const bytes = inside.reduce((sum, one) => sum + one.bytes, 0);
    const createdAt =
      inside
        .map(({ lastModified }) => lastModified)
        .sort()
        .at(-1) ?? '';
    return { id, name: path.posix.basename(id), bytes, createdAt };
  });
  const newness = ({ id, createdAt }: DumpObject): string => `${dayOf(id)} ${createdAt}`;
  return [...single, ...directories]
    .filter(({ name }) => nameMatches(name, match))
    .sort((a, b) => (newness(a) < newness(b) ? 1 : -1));
}

/** What was fetched already lies in `<to>.part`, with the object's facts beside it: another object of that name begins anew. */
async function fetchObject(
  store: Pick<ObjectStore, 'get' | 'head'>,
  key: string,
  to: string,
  onBytes: (done: number) => void,
): Promise<void> {
  const facts = await store.head(key);
  if (facts === null)
    throw stepFailure('NotFound', `${key} is not in the bucket any more`, {
      hint: 'start again: the newest dump is chosen then',
    });
  const fd = openSync(`${to}.part`, begunBefore(to, facts) ? 'r+' : 'w', 0o600);
  try {
    let at = Math.min(statSync(`${to}.part`).size, facts.bytes);
    at -= at % PIECE_BYTES;
    ftruncateSync(fd, at);
    while (at < facts.bytes) {
      const starts = Array.from({ length: AT_ONCE }, (_, index) => at + index * PIECE_BYTES).filter(
        (start) => start < facts.bytes,
      );
      const pieces = await Promise.all(
        starts.map((start) => store.get(key, { start, end: Math.min(start + PIECE_BYTES, facts.bytes) - 1 })),
      );
      for (const piece of pieces) {
        writeFully(fd, piece, at);
        at += piece.length;
      }
      onBytes(at);
      faultPoint(FAULT_PIECE);
    }
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${to}.part`, to);
  rmSync(`${to}.facts`, { force: true });
}

function begunBefore(to: string, facts: ObjectFacts): boolean {
  const now = JSON.stringify([facts.key, facts.bytes, facts.lastModified]);
  try {
    if (readFileSync(`${to}.facts`, 'utf8') === now && statSync(`${to}.part`).size > 0) return true;
  } catch {
    // Nothing was begun.
  }
  writeFileSync(`${to}.facts`, now, { mode: 0o600 });
  return false;
}
