/** The bucket of a real Databasus controller (v3.49.0) as test data, and an ObjectStore over it. */
import { existsSync } from 'node:fs';
import path from 'node:path';

import { directoryObjects, type DirectoryObjects } from './directory-objects.js';

export const DATABASUS_DIR = path.resolve(__dirname, '../../../shared/data/databasus');
export const BUCKET_DIR = path.join(DATABASUS_DIR, 'bucket/pg');

/** `describe` where the data are there; elsewhere it is skipped and said. */
export function describeWithBucket(title: string, tests: () => void): void {
  if (existsSync(BUCKET_DIR)) {
    describe(title, tests);
    return;
  }
  console.warn(`${title}: skipped, ${BUCKET_DIR} is not there`);
  describe.skip(title, tests);
}

/** The bucket below its prefix. `changed` replaces (or, with null, hides) objects. */
export function bucketObjects(changed: Readonly<Record<string, Buffer | null>> = {}): DirectoryObjects {
  const real = directoryObjects(BUCKET_DIR);
  return {
    ...real,
    async list(prefix) {
      const listed = await real.list(prefix);
      const kept = listed.filter(({ key }) => !Object.hasOwn(changed, key));
      const replaced = Object.entries(changed).flatMap(([key, body]) =>
        body === null || !key.startsWith(prefix)
          ? []
          : [{ key, bytes: body.length, lastModified: '2026-11-21T03:35:00.000Z' }],
      );
      return [...kept, ...replaced];
    },
    async get(key, range) {
      const body = changed[key];
      if (body === undefined || body === null) return real.get(key, range);
      real.reads.push(key);
      return range === undefined ? body : body.subarray(range.start, range.end + 1);
    },
  };
}
