/** `pgr lab destroy`: stops the lab and removes its directory, which must carry our marker. */
import { openLab, withLabLock } from './open.js';
import { stopEverything } from './down.js';
import { removeLocation } from './location.js';
import type { LabProgress } from './progress.js';

/** Returns the directory that was removed. Throws NotFound for a directory that is no lab: nothing of it is touched. */
export async function labDestroy(dir: string, progress: LabProgress): Promise<{ dir: string }> {
  const { location, paths, state } = await openLab(dir);
  await withLabLock(paths, progress, async () => {
    await stopEverything(paths, state, progress);
    await removeLocation(location);
  });
  return { dir: location.shownDir };
}
