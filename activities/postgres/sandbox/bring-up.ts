/** Brings a sandbox that had reached its target back to it, after its server or the host went down. */
import { readFile } from 'node:fs/promises';

import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import { heartbeat } from '../../lib/heartbeat.js';
import { pauseFor } from '../../lib/cancellation.js';
import { judgeReplay, type Reached } from './judge-replay.js';
import { changeMarker } from './marker.js';
import type { SandboxPlace } from './place.js';
import { watchReplay, type ReplaySight } from './replay-watch.js';
import { startSandbox, type SandboxDeps } from './sandbox-server.js';

const POLL_MS = 20;

export type BroughtUp = { sight: ReplaySight; reached: Reached | null };

/**
 * Starts the server when it does not run and waits until it is paused at the target again, at most `timeoutMs`; `reached` is null when it
 * still replays then. Throws what keeps recovery from getting there (SandboxTainted for one that somebody promoted).
 */
export async function bringUp(
  deps: SandboxDeps,
  place: SandboxPlace,
  plan: RecoveryPlan,
  timeoutMs: number,
): Promise<BroughtUp> {
  const marker = await startSandbox(deps, place, plan);
  const watch = watchReplay(place, marker);
  try {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const sight = await watch.look();
      const reached = await judgeReplay(place, plan, sight);
      if (reached !== null && marker.state !== 'paused') await changeMarker(place, { state: 'paused' });
      if (reached !== null || Date.now() >= deadline) return { sight, reached };
      heartbeat();
      await pauseFor(POLL_MS);
    }
  } finally {
    await watch.close();
  }
}

/** The plan that the sandbox was prepared for, null when the file is not there or half. */
export async function readStoredPlan(place: SandboxPlace): Promise<RecoveryPlan | null> {
  try {
    return JSON.parse(await readFile(place.planFile, 'utf8')) as RecoveryPlan;
  } catch {
    return null;
  }
}
