/** Looks at the fence marker of a node again and again. Anything but a clear "there is none" counts as fenced. */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { errorCodeOf } from '../shared/error-code.js';
import { fenceFileFor, isFenceOf, parseFenceMarker } from '../shared/fence-file.js';
import type { FenceWatchState } from './pg-health-answer.js';

export type FenceWatch = { state(): FenceWatchState; stop(): Promise<void> };

/** A fence works within 100 ms: two looks and the time that they take. */
const EVERY_MS = 40;

/** Has looked once when it returns. */
export async function watchFence(place: {
  stateDir: string;
  environment: string;
  node: string;
  now: () => number;
}): Promise<FenceWatch> {
  const stop = new AbortController();
  let state = await look(place);
  const running = (async () => {
    while (!stop.signal.aborted) {
      await delay(EVERY_MS, undefined, { signal: stop.signal }).catch(() => undefined);
      state = await look(place);
    }
  })();
  return {
    state: () => state,
    stop: () => {
      stop.abort();
      return running;
    },
  };
}

/** The time is taken before the look: what came between belongs to the next one. */
async function look(place: {
  stateDir: string;
  environment: string;
  node: string;
  now: () => number;
}): Promise<FenceWatchState> {
  const readAt = place.now();
  const file = fenceFileFor(place.stateDir, place.environment, place.node);
  try {
    const marker = parseFenceMarker(await readFile(file, 'utf8'));
    if (marker === null) return { fenced: true, why: `${file} is not a fence marker`, readAt };
    // Another node's names can give the same path; its fence is not ours.
    if (!isFenceOf(marker, place.environment, place.node)) return { fenced: false, why: null, readAt };
    return { fenced: true, why: `fenced since ${marker.at} by ${marker.run}: ${marker.why}`, readAt };
  } catch (error) {
    const code = errorCodeOf(error) ?? 'unknown error';
    return code === 'ENOENT'
      ? { fenced: false, why: null, readAt }
      : { fenced: true, why: `cannot read ${file} (${code})`, readAt };
  }
}
