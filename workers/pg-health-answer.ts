/** What pg-health answers, from what it knows. Pure: the clock comes in as a number of milliseconds that only grows. */

/** What the server said last. `askedAt` is when the question left: between then and the answer it was true, afterwards nobody knows. */
export type ServerState =
  | {
      kind: 'answered';
      askedAt: number;
      inRecovery: boolean;
      readOnly: boolean;
      lsn: string | null;
      /** `streaming` and so on; null when there is no WAL receiver, `hidden` when the role may not see it. */
      receiver: string | null;
    }
  | { kind: 'down'; why: string };

/** What the fence marker's file said last. */
export type FenceWatchState = { fenced: boolean; why: string | null; readAt: number };

export type Health = {
  role: 'primary' | 'standby' | 'down';
  acceptsWrites: boolean;
  streaming: boolean;
  fenced: boolean;
  lsn: string | null;
  /** Age of the server's answer; null when it does not answer. */
  ageMs: number | null;
  /** Why it is not what somebody might hope for; null when there is nothing to say. */
  why: string | null;
};

export type HealthPath = '/primary' | '/replica' | '/health';

/** Three questions fit into it, so one that is late does no harm; a router must not wait longer for the truth about a server that hangs. */
const STALE_AFTER_MS = 300;
/**
 * A flip also fences at the routers, so a look at a small local file that is late on a busy machine must not cut the sessions of a healthy primary; one
 * that does not come at all is not "there is none".
 */
const FENCE_STALE_AFTER_MS = 1_000;

/** The node as it is now. What is older than {@link STALE_AFTER_MS} is not known any more, and unknown never counts as good. */
export function healthOf(server: ServerState, fence: FenceWatchState, now: number): Health {
  const fenceAge = now - fence.readAt;
  const fenced = fence.fenced || fenceAge > FENCE_STALE_AFTER_MS;
  const fenceWhy = fence.fenced ? fence.why : fenced ? 'the fence marker could not be read in time' : null;
  if (server.kind === 'down') return down(server.why, null, fenced);
  const ageMs = Math.max(0, Math.round(now - server.askedAt));
  if (now - server.askedAt > STALE_AFTER_MS)
    return down(`the server has not answered for ${String(ageMs)} ms`, ageMs, fenced);
  const { inRecovery, readOnly, lsn, receiver } = server;
  return {
    role: inRecovery ? 'standby' : 'primary',
    acceptsWrites: !inRecovery && !readOnly,
    streaming: inRecovery && receiver === 'streaming',
    fenced,
    lsn,
    ageMs,
    why: fenceWhy ?? whyNot(inRecovery, readOnly, receiver),
  };
}

function down(why: string, ageMs: number | null, fenced: boolean): Health {
  return { role: 'down', acceptsWrites: false, streaming: false, fenced, lsn: null, ageMs, why };
}

function whyNot(inRecovery: boolean, readOnly: boolean, receiver: string | null): string | null {
  if (!inRecovery) return readOnly ? 'default_transaction_read_only is on' : null;
  if (receiver === 'streaming') return null;
  if (receiver === 'hidden') return 'the WAL receiver is hidden from this role: grant pg_monitor';
  return receiver === null ? 'there is no WAL receiver' : `the WAL receiver is ${receiver}`;
}

/** HTTP status of a path. */
export function statusOf(path: HealthPath, health: Health): 200 | 503 {
  const good = {
    '/primary': health.acceptsWrites && !health.fenced,
    '/replica': health.streaming,
    '/health': health.role !== 'down',
  };
  return good[path] ? 200 : 503;
}
