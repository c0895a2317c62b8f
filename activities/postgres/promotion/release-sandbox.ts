/** After an abort, the sandbox that was on its way into production is a throw-away again: `pgr discard` may remove what is left of it. */
import { namesIn } from '../data-directory.js';
import { readMarker, writeMarker } from '../sandbox/marker.js';
import { placeOf } from '../sandbox/place.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { sandboxRootOf } from '../../lib/environment-config.js';
import type { NodePlace } from './node-place.js';
import { takeBackCopied } from './stage-sandbox.js';

/** Marks the sandboxes of this node's host that run `runId` was promoting as stopped. A directory that is not ours is left alone. */
export async function releaseSandboxes(
  deps: Pick<ActivityDeps, 'config'>,
  environment: string,
  place: NodePlace,
  runId: string,
): Promise<void> {
  const { host } = place.node;
  for (const sandbox of (await namesIn(sandboxRootOf(place.environment, host))) ?? []) {
    const candidate = placeOf(deps.config, { environment, host, sandbox, run: '', runId: '' });
    const marker = await readMarker(candidate).catch(() => null);
    if (marker?.state !== 'promoting' || marker.promotion?.runId !== runId) continue;
    await takeBackCopied(place, candidate);
    await writeMarker(candidate, { ...marker, state: 'stopped' });
  }
}
