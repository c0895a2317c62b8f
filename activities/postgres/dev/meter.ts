/** How far a load is, in stored bytes of table data. */
import type { JobProgress } from '../../lib/job-runner.js';
import type { Archive } from './archive.js';
import type { Content } from './content.js';

const TELL_EVERY_MS = 250;

export type Meter = {
  /** Bytes of a table that is being read. */
  read(key: string, bytes: number): void;
  tableDone(key: string, bytes: number): void;
  /** A table that is begun again. */
  forget(key: string): void;
  /** An index or constraint was built. */
  built(what: string): void;
  outcome(): { bytes: number; tables: number };
};

/** `done` are the keys that an earlier attempt did. */
export function createMeter(
  report: (progress: JobProgress) => void,
  { tables, post }: Pick<Content, 'tables' | 'post'>,
  archive: Pick<Archive, 'bytesOf'>,
  done: ReadonlyMap<string, number>,
): Meter {
  const wanted = tables.filter(({ deferred }) => !deferred);
  const total = wanted.reduce((sum, { entry }) => sum + archive.bytesOf(entry.id), 0);
  const loaded = new Map([...done].filter(([key]) => key.startsWith('data:')));
  const reading = new Map<string, number>();
  let builtCount = post.filter(({ entry }) => done.has(`post:${String(entry.id)}`)).length;
  const sum = (map: ReadonlyMap<string, number>): number => [...map.values()].reduce((a, b) => a + b, 0);
  let toldMs = 0;
  const tell = (): void => {
    // Pieces come by the thousand; telling is a file that is written.
    if (Date.now() - toldMs < TELL_EVERY_MS) return;
    toldMs = Date.now();
    const note = `tables ${String(loaded.size)} of ${String(wanted.length)}, indexes and constraints ${String(builtCount)} of ${String(post.length)}`;
    report({ done: Math.min(total, sum(loaded) + sum(reading)), total, unit: 'bytes', note });
  };
  return {
    read(key, bytes) {
      reading.set(key, (reading.get(key) ?? 0) + bytes);
      tell();
    },
    tableDone(key, bytes) {
      reading.delete(key);
      loaded.set(key, bytes);
      tell();
    },
    forget(key) {
      reading.delete(key);
    },
    built() {
      builtCount += 1;
      tell();
    },
    outcome: () => ({ bytes: sum(loaded), tables: loaded.size }),
  };
}
