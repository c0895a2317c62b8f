/**
 * Makes the sandbox of a dump: its directory with our marker, a new cluster with production's encoding and locale, a server on a private address.
 * On a retry everything that is there already stays.
 */
import type { DumpStepInput, PrepareDumpSandboxResult } from '../../../shared/contracts/dump.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { pathExists } from '../data-directory.js';
import { makeSandbox } from '../sandbox/prepare-sandbox.js';
import { placeOf } from '../sandbox/place.js';
import { connectSandbox } from '../sandbox/session.js';
import { dumpPlaceOf } from './dump-place.js';
import { makeCluster, setPassword, startCluster } from './new-cluster.js';
import { extensionsMissing } from './plan-dump.js';

/** Throws SandboxNotOurs, SpaceMissing, PortTaken, PreconditionFailed (a locale or extensions that are not installed). */
export function createPrepareDumpSandbox(deps: Pick<ActivityDeps, 'config' | 'runtime' | 'resolveSecret'>) {
  return async function prepareDumpSandbox({ ref, plan }: DumpStepInput): Promise<PrepareDumpSandboxResult> {
    const place = placeOf(deps.config, ref);
    const made = await makeSandbox(deps, place, { ...plan, systemIdentifier: '' }, { origin: 'dump' });
    const systemIdentifier = await makeCluster(place, plan);
    const marker = await startCluster(deps, place, plan);
    if (!(await pathExists(dumpPlaceOf(place).restored))) {
      await setPassword(deps, place, marker);
      const available = await connectSandbox(place, marker, {}, async (client) => {
        const { rows } = await client.query<{ name: string }>('select name::text as name from pg_available_extensions');
        return new Set(rows.map(({ name }) => name));
      });
      const missing = plan.extensions.filter((name) => !available.has(name));
      if (missing.length > 0) throw extensionsMissing(missing);
    }
    return { ...made, systemIdentifier };
  };
}
