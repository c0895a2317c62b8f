/** A standby that follows: it streams the right timeline of the right cluster, and is close behind. */
import { lsnDistanceBytes, parseLsn } from '../../../shared/lsn.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { pollUntil } from '../../lib/poll.js';
import { readPrimaryPosition, readStreaming } from './streaming.js';

/** A standby that starts has to replay what was written during the copy; it must make progress meanwhile. */
const STREAMING_TIMEOUT_MS = 600_000;
/** One segment: closer than this it follows as fast as WAL is written. */
const NEAR_BYTES = 16 * 1024 * 1024;

export type Follower = { environment: string; node: string; from: string; systemIdentifier: string; timeline: number };

/** Bytes behind when it streams the right timeline from the right cluster, else null. */
export async function streamingLag(deps: ActivityDeps, follower: Follower): Promise<number | null> {
  const { environment, node, from, systemIdentifier, timeline } = follower;
  const seen = await readStreaming(deps, environment, node);
  if (seen?.receiver !== 'streaming' || seen.receivedTimeline !== timeline) return null;
  if (seen.systemIdentifier !== systemIdentifier) return null;
  const { lsn } = await readPrimaryPosition(deps, environment, from);
  const written = parseLsn(lsn ?? '');
  const replayed = parseLsn(seen.replayLsn ?? '');
  return written === null || replayed === null ? null : Math.max(0, lsnDistanceBytes(replayed, written));
}

/** Waits until it is less than one segment behind; returns the bytes. Throws DatabaseUnavailable when the time is up. */
export async function waitForStreaming(deps: ActivityDeps, follower: Follower): Promise<number> {
  const lag = await pollUntil(
    async () => {
      const bytes = await streamingLag(deps, follower);
      return bytes !== null && bytes < NEAR_BYTES ? bytes : null;
    },
    { timeoutMs: STREAMING_TIMEOUT_MS, everyMs: 50 },
  );
  if (lag !== null) return lag;
  const { node, from, timeline } = follower;
  throw stepFailure('DatabaseUnavailable', `${node} runs but does not stream timeline ${String(timeline)}`, {
    hint: `read its server log (primary_conninfo, pg_hba.conf of ${from}), then \`pgr retry\``,
  });
}
