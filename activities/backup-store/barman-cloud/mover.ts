/** The fetch of a plan from a barman-cloud bucket: the same transfer of base and WAL side by side as for store `s3`, with other bases. */
import type { RestoreBaseResult } from '../../../shared/contracts/sandbox.js';
import type { FetchSpec } from '../../lib/backup-store.js';
import { moveBase } from '../mover.js';
import type { MoverDeps } from '../mover-tools.js';
import { openBarmanBase, type BarmanSource } from './open-base.js';
import { createBarmanView } from './view.js';

/** Carries out a fetch. Throws typed failures. */
export async function moveBarmanBase(
  spec: FetchSpec,
  source: BarmanSource,
  deps: Pick<MoverDeps, 'reporter' | 'programPath'>,
): Promise<RestoreBaseResult> {
  const { objects, walPrefix } = createBarmanView(source.objects, source.server);
  return moveBase(spec, { ...deps, objects, walPrefix }, (tools, id, dir, owner) =>
    openBarmanBase(tools, source, id, dir, owner),
  );
}
