/**
 * What is left of the sandbox after its data became production: the spool and the bases go (they are copies of what the store has), marker
 * and logs stay for the record.
 */
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';

import type { FinishPromotionInput } from '../../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { pathExists } from '../data-directory.js';
import { isOurs, notOurs, readMarker, writeMarker } from '../sandbox/marker.js';
import { placeOf } from '../sandbox/place.js';
import { removeSocketDir } from '../sandbox/socket-dir.js';

export function createFinishPromotion(deps: ActivityDeps) {
  return async function finishPromotion({ ref }: FinishPromotionInput): Promise<{ outcome: 'finished' }> {
    const sandbox = placeOf(deps.config, ref);
    const marker = await readMarker(sandbox);
    if (marker === null) return { outcome: 'finished' };
    if (!isOurs(marker, ref)) throw notOurs(sandbox, marker);
    if (await pathExists(sandbox.dataDir)) {
      throw stepFailure(
        'PreconditionFailed',
        `the sandbox still has its data in ${sandbox.dataDir}: it was not promoted`,
      );
    }
    if (marker.state !== 'promoted') await writeMarker(sandbox, { ...marker, state: 'promoted' });
    const names = await readdir(sandbox.dir);
    for (const name of names.filter((entry) => entry === 'wal' || /^(base-\d+|data\.copied)$/.test(entry))) {
      await rm(path.join(sandbox.dir, name), { recursive: true, force: true });
    }
    await removeSocketDir(marker.socketDir);
    return { outcome: 'finished' };
  };
}
