/** Who takes the writes that applications send to the write address (architecture section 10). Providers live in activities/routing. */
import type { TopologyPooler, TopologyRouter } from '../../shared/contracts/topology.js';

/**
 * All connections that fencing and routing need, opened beforehand: afterwards every call is one round trip. Every call may be repeated and
 * reads the state back before it returns. Throws RoutingUnavailable with what the router said.
 */
export interface RoutingSession {
  /** What every router says of every server now. */
  servers(): Promise<TopologyRouter[]>;
  /** New sessions no longer reach `node`, and those that do are ended. */
  fence(node: string): Promise<void>;
  /** New sessions reach `node` and no other one, at once and not at the next health check. */
  route(node: string): Promise<void>;
  /** Lets health checks decide about `node` again, without a moment in which a fenced or standby node takes writes. */
  release(node: string): Promise<void>;
  close(): Promise<void>;
}

export interface RoutingProvider {
  readonly kind: 'multihost' | 'haproxy';
  /** `haproxy lb1, lb2`: for plans. */
  readonly label: string;
  /** What it cannot do, for plans: a multi-host address cannot be fenced. */
  readonly limits: readonly string[];
  /**
   * `timeoutMs` bounds this and every later call. Every router must answer and be ours to command, else RoutingUnavailable, ConfigInvalid or NotAllowed;
   * with `lenient` (for looking only) one that does not is `unknown` in `servers()`.
   */
  open(timeoutMs: number, options?: { lenient?: boolean }): Promise<RoutingSession>;
}

/** A client session that keeps a pooler from pausing. */
export type PauseBlocker = { pid: number | null; database: string; user: string; ageSeconds: number; query: string };
export type PauseOutcome =
  { outcome: 'paused'; ms: number; ended: PauseBlocker[] } | { outcome: 'gave-up'; blockers: PauseBlocker[] };

/** One pooler's admin console, opened beforehand. */
export interface PoolerSession {
  readonly name: string;
  state(): Promise<TopologyPooler>;
  /**
   * New queries wait from now on; returns when none runs any more. When that takes longer than the configured time: per `onTimeout` waits on,
   * cancels the blockers, or resumes everything and returns `gave-up` with their names. Never leaves a pause behind when it throws.
   * `stillWaiting` is called about once a second meanwhile (to extend the pause guard, for one); when it throws, everything is resumed.
   */
  pause(options?: { stillWaiting?: () => Promise<void> }): Promise<PauseOutcome>;
  /** Clients go on. Databases that are not paused are left alone. */
  resume(): Promise<void>;
  /** Server connections are opened anew, so that they reach the new primary. */
  reconnect(): Promise<void>;
  close(): Promise<void>;
}

export interface Pooler {
  readonly name: string;
  open(timeoutMs: number): Promise<PoolerSession>;
}

/**
 * A process of its own that resumes all paused poolers of an environment when it had no sign of life for a while (10 s), also when this process is dead by
 * then. Call `extend` right before a pause.
 */
export interface PauseGuard {
  /** A sign of life: the time begins anew. Throws RoutingUnavailable when the guard is dead. */
  extend(): Promise<void>;
  /** Ends it. `resumed`: it had no sign in time, found a pooler paused and resumed it. */
  done(): Promise<{ resumed: boolean }>;
}
