/** The fetch of a plan from a Barman: the backup by Barman itself, and the WAL beside it by the transfer of every other store. */
import { dirname, join } from 'node:path';

import type { RestoreBaseResult } from '../../../shared/contracts/sandbox.js';
import type { FetchSpec } from '../../lib/backup-store.js';
import { moveBase } from '../mover.js';
import type { MoverDeps } from '../mover-tools.js';
import { releaseBackup } from './keep.js';
import { createPlaces } from './places.js';
import { openBarmanBase } from './restore.js';
import type { Barman } from './run.js';
import { createBarmanView } from './view.js';

/** Carries out a fetch. The backup is kept from retention meanwhile and released at the end, whatever the end is. Throws typed failures. */
export async function fetchFromBarman(
  spec: FetchSpec,
  barman: Barman,
  deps: Pick<MoverDeps, 'reporter' | 'programPath'>,
): Promise<RestoreBaseResult> {
  const places = createPlaces(barman);
  const { objects, walPrefix } = createBarmanView(places, spec.wal.walSegmentBytes);
  const base = { binDir: spec.binDir ?? null, keepNote: keepNote(spec) };
  try {
    return await moveBase(spec, { ...deps, objects, walPrefix }, (tools, id, dir, owner) =>
      openBarmanBase(tools, places, { ...base, id, dir, owner }),
    );
  } finally {
    await release(barman, spec);
  }
}

/** Ends what a fetch holds at Barman; for a process that is told to end. Right when run twice at once. */
export async function release(barman: Barman, spec: FetchSpec): Promise<void> {
  const problem = await releaseBackup(barman, keepNote(spec));
  if (problem !== null) process.stderr.write(`warning: ${problem}\n`);
}

/** Beside the spool: also a fetch of WAL alone, after the bases, finds it. */
function keepNote({ wal }: FetchSpec): string {
  return join(dirname(wal.dir), 'barman-keep');
}
