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
  open(timeoutMs: number): Promise<RoutingSession>;
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
   */
  pause(): Promise<PauseOutcome>;
  resume(): Promise<void>;
  /** Server connections are opened anew, so that they reach the new primary. */
  reconnect(): Promise<void>;
  close(): Promise<void>;
}

export interface Pooler {
  readonly name: string;
  open(timeoutMs: number): Promise<PoolerSession>;
}
