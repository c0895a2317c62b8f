/** What the job of a restore does: one phase. Each may be run again at any time, also after it was killed in the middle. */
import type { DevPhase, DevPhaseResult } from '../../../shared/contracts/dev.js';
import type { JobProgress } from '../../lib/job-runner.js';
import { alone } from './databases.js';
import { finishDeferredPhase, loadDeferredPhase } from './deferred-phase.js';
import { finishPhase } from './finish-phase.js';
import { loadPhase } from './load-phase.js';
import { databaseNames } from './names.js';
import { phaseOf, type Outcome, type Phase, type PhaseSpec } from './phase.js';
import { provePhase } from './prove-phase.js';
import { schemaPhase } from './schema-phase.js';
import { putBackSettings } from './server-settings.js';
import { swapPhase } from './swap-phase.js';

const PHASES: Readonly<Record<DevPhase, (phase: Phase) => Promise<Outcome>>> = {
  schema: schemaPhase,
  load: loadPhase,
  finish: finishPhase,
  swap: swapPhase,
  prove: provePhase,
  'load-deferred': loadDeferredPhase,
  'finish-deferred': finishDeferredPhase,
  'put-back': () => Promise.resolve({}),
};

/** Runs the phase of a spec alone on its target. `password` is that of the target. */
export async function restoreDevProgram(
  spec: PhaseSpec,
  report: (progress: JobProgress) => void,
  password: string | null,
): Promise<DevPhaseResult> {
  const startedMs = Date.now();
  const server = { ...spec.server, password };
  return alone(server, databaseNames(spec.plan.target.database), async (maintenance) => {
    // Of a load that was killed.
    await putBackSettings(maintenance, spec.journal);
    const outcome = await PHASES[spec.phase](phaseOf(spec, server, maintenance, report));
    return {
      ...{ outcome: 'done', bytes: 0, tables: 0, deferred: [], problems: [], notes: [] },
      ...outcome,
      seconds: (Date.now() - startedMs) / 1_000,
    };
  });
}
