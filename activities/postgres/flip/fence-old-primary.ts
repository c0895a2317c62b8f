/**
 * A failover on the host of the old primary, when that host answers: the fence marker, its server stopped, and proof that no process of it is left.
 * `not-proven` is an answer, not a failure: a person is asked then. Needs the cluster of this environment or none at all; may be repeated.
 */
import type { FenceOldPrimaryInput, FenceOldPrimaryResult } from '../../../shared/contracts/flip.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, nodeNamed } from '../../lib/environment-config.js';
import { writeFence } from '../../lib/fence-file.js';
import { faultPoint } from '../../lib/fault-points.js';
import { readPostmaster } from '../postmaster.js';
import { requireThisHost } from '../promotion/node-place.js';
import { stopServer } from '../server.js';
import { errorText } from './error-text.js';

/** A dead primary has nobody to wait for; one that only hangs is ended afterwards. */
const STOP_TIMEOUT_MS = 15_000;
const KILL_TIMEOUT_MS = 15_000;

export function createFenceOldPrimary(deps: ActivityDeps) {
  return async function fenceOldPrimary(input: FenceOldPrimaryInput): Promise<FenceOldPrimaryResult> {
    const node = nodeNamed(environmentOf(deps.config, input.environment), input.node);
    requireThisHost(node);
    const proof: string[] = [];
    const failed: string[] = [];
    const attempt = async (work: () => Promise<string>): Promise<void> => {
      try {
        proof.push(await work());
      } catch (error) {
        failed.push(errorText(error));
      }
    };
    await attempt(() => placeMarker(deps, input));
    faultPoint('fence-old-primary:marked');
    const runtime = deps.runtime(input.environment, input.node);
    await attempt(async () => (await runtime.stop(STOP_TIMEOUT_MS)).proof);
    if ((await runtime.status()).state !== 'stopped') {
      // What is frozen or hangs in its checkpoint does not end in order; its WAL holds what it acknowledged.
      await attempt(
        async () => (await stopServer({ dataDir: node.dataDir, mode: 'immediate', timeoutMs: KILL_TIMEOUT_MS })).proof,
      );
    }
    const [status, postmaster] = await Promise.all([runtime.status(), readPostmaster(node.dataDir)]);
    const stopped = status.state === 'stopped' && postmaster.state === 'stopped';
    if (stopped) proof.push(`${input.node}: ${postmaster.why}`);
    return { outcome: stopped ? 'fenced' : 'not-proven', proof, failed };
  };
}

async function placeMarker(deps: ActivityDeps, input: FenceOldPrimaryInput): Promise<string> {
  const { environment, node, run, runId } = input;
  const marker = { api: 1, environment, node, run, runId, why: 'failover', at: new Date().toISOString() } as const;
  await writeFence(deps.config.stateDir, marker);
  return `pg-health does not call ${node} primary any more`;
}
