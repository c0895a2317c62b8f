/** The WAL of a stream while its end is not known: a directory beside the spool, which is removed when the spool is filled. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import { isSegmentName } from '../../../shared/timeline.js';
import type { FetchSpec } from '../../lib/backup-store.js';
import { stepFailure } from '../../lib/failure.js';
import type { ObjectFacts, ObjectStore } from '../s3-objects.js';
import { baseKeys } from '../base-catalog.js';
import { headerJson } from './base-header.js';
import { WAL_PREFIX } from './lists-view.js';
import type { ReadStream } from './read-stream.js';

export type Staging = {
  dir: string;
  walDir: string;
  /** Empties it: a stream begins from its start. */
  begin(): void;
  /** Notes that the whole stream was read and proven, and what was in it. */
  finish(read: ReadStream): void;
  /** What `finish` noted; null when no stream was finished since the host came up: nothing of it is flushed. */
  finished(): ReadStream | null;
  remove(): void;
};

type Note = { boot: string | null; read: ReadStream };

/** The staging directory of a fetch. `boot` is the id of the boot of this host. */
export function stagingOf({ wal }: FetchSpec, boot: string | null): Staging {
  const dir = join(dirname(wal.dir), `${basename(wal.dir)}-stream`);
  const walDir = join(dir, 'wal');
  const note = join(dir, 'complete.json');
  const remove = (): void => {
    // First the note: what is left of a removal that was killed must not look complete.
    rmSync(note, { force: true });
    rmSync(dir, { recursive: true, force: true });
  };
  return {
    dir,
    walDir,
    remove,
    begin() {
      remove();
      mkdirSync(walDir, { recursive: true, mode: 0o700 });
    },
    finish(read) {
      writeFileSync(`${note}.tmp`, JSON.stringify({ boot, read } satisfies Note));
      renameSync(`${note}.tmp`, note);
    },
    finished() {
      if (!existsSync(note)) return null;
      const noted = JSON.parse(readFileSync(note, 'utf8')) as Note;
      return noted.boot === boot ? noted.read : null;
    },
  };
}

/**
 * Where the tar of a base and the stream both have a segment, the stream's is kept: the tar's last one may have been cut while it was
 * written (a backup of a standby).
 */
export async function dropDuplicates({ walDir }: Staging): Promise<void> {
  const names = await readdir(walDir);
  for (const name of names.filter(isSegmentName)) {
    if (names.some((other) => other.startsWith(`${name}.`))) rmSync(join(walDir, name));
  }
}

/** What was streamed, as objects of our own layout: the planned chain of bases and the WAL. Read only. */
export function stagedObjects({ walDir }: Staging, plan: RecoveryPlan, rawBytes: readonly number[]): ObjectStore {
  const refused = (): Promise<never> => Promise.reject(stepFailure('Bug', 'what was streamed is only read'));
  const list = async (prefix: string): Promise<ObjectFacts[]> => {
    const wal = await Promise.all(
      (await readdir(walDir)).map(async (name): Promise<ObjectFacts> => {
        const { size, mtime } = await stat(join(walDir, name));
        return { key: WAL_PREFIX + name, bytes: size, lastModified: mtime.toISOString() };
      }),
    );
    const bases = plan.baseChain.map(({ id, bytes, endedAt }) => ({
      key: baseKeys(id).header,
      bytes,
      lastModified: endedAt,
    }));
    return [...bases, ...wal].filter(({ key }) => key.startsWith(prefix));
  };
  return {
    list,
    head: async (key) => (await list(key)).find((facts) => facts.key === key) ?? null,
    async get(key, range, into) {
      const at = plan.baseChain.findIndex(({ id }) => baseKeys(id).header === key);
      const base = plan.baseChain[at];
      const content =
        base === undefined
          ? await readFile(join(walDir, basename(key)))
          : headerJson({ ...plan, ...base, rawBytes: rawBytes[at] ?? base.rawBytes, neededFrom: base.startLsn });
      const part = range === undefined ? content : content.subarray(range.start, range.end + 1);
      return into === undefined ? part : into.subarray(0, part.copy(into));
    },
    put: refused,
    putFromParts: refused,
  };
}
