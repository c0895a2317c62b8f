/** The fetch of a plan from a stanza: pgBackRest restores the base while the WAL is read beside it. */
import { availableParallelism } from 'node:os';

import type { RestoreBaseResult } from '../../../shared/contracts/sandbox.js';
import type { FetchSpec } from '../../lib/backup-store.js';
import { moveBase } from '../mover.js';
import type { MoverDeps } from '../mover-tools.js';
import { openPgbackrestBase } from './open-base.js';
import { createStanzaView, type Stanza, type StanzaView } from './view.js';

const MOST_PROCESSES = 8;

/** Carries out a fetch. Throws typed failures. */
export async function movePgbackrestBase(
  spec: FetchSpec,
  source: Stanza,
  deps: Pick<MoverDeps, 'reporter' | 'programPath'> & { processMax: number | null },
): Promise<RestoreBaseResult> {
  const view = await viewOf(spec, source);
  const processMax = deps.processMax ?? Math.min(availableParallelism(), MOST_PROCESSES);
  const { reporter, programPath } = deps;
  return moveBase(
    spec,
    { reporter, programPath, objects: view.objects, walPrefix: view.walPrefix },
    ({ progress }, id, dir, owner) => openPgbackrestBase({ source, view, progress, processMax }, id, dir, owner),
  );
}

/** A stanza that was upgraded has the WAL of two clusters; the base says which one is wanted. Without a base (it is restored already) the newer one. */
async function viewOf({ baseIds }: FetchSpec, source: Stanza): Promise<StanzaView> {
  const view = createStanzaView(source, null);
  const { bases, systemIdentifier } = await view.catalog();
  const wanted = bases.find(({ header }) => header.id === baseIds[0])?.header.systemIdentifier ?? systemIdentifier;
  return wanted === systemIdentifier ? view : createStanzaView(source, wanted);
}
