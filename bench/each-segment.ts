/** WAL for archives that are filled after the cluster has written it. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { ObjectStore } from '../activities/backup-store/s3-objects.js';
import { listWalFiles, readWalFile } from '../activities/backup-store/wal-archive.js';
import { isSegmentName } from '../shared/timeline.js';

/** Hands every archived segment, plain and under its own name in `folder`, to `archive`, oldest first. */
export async function eachSegment(
  folder: string,
  objects: ObjectStore,
  archive: (file: string) => Promise<unknown>,
): Promise<void> {
  await mkdir(folder, { mode: 0o755 });
  const files = (await listWalFiles(objects, 'wal/')).filter(({ name }) => isSegmentName(name));
  for (const file of files.toSorted((a, b) => a.name.localeCompare(b.name))) {
    const local = path.join(folder, file.name);
    await writeFile(local, await readWalFile(objects, file), { mode: 0o644 });
    await archive(local);
    await rm(local, { force: true });
  }
  await rm(folder, { recursive: true });
}
