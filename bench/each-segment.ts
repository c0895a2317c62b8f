/** WAL for archives that are filled beside ours, as each segment comes. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { ObjectStore } from '../activities/backup-store/s3-objects.js';
import { listWalFiles, readWalFile } from '../activities/backup-store/wal-archive.js';
import { isSegmentName } from '../shared/timeline.js';

/** Hands every segment that was archived since the last call, plain and under its own name in `folder`, to `archive`, oldest first. */
export function newSegments(folder: string, objects: ObjectStore): (archive: Archive) => Promise<void> {
  const known = new Set<string>();
  return async (archive) => {
    await mkdir(folder, { mode: 0o755, recursive: true });
    const files = (await listWalFiles(objects, 'wal/')).filter(({ name }) => isSegmentName(name) && !known.has(name));
    for (const file of files.toSorted((a, b) => a.name.localeCompare(b.name))) {
      const local = path.join(folder, file.name);
      await writeFile(local, await readWalFile(objects, file), { mode: 0o644 });
      await archive(local);
      await rm(local, { force: true });
      known.add(file.name);
    }
  };
}

type Archive = (file: string) => Promise<unknown>;
