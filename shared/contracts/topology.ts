/** What `pgr topology` says: every node asked directly, every router asked, one write probe; and where the answers contradict each other. */
import type { Lsn } from '../lsn.js';

export type NodeRole = 'primary' | 'standby' | 'down' | 'unknown';
/** Answer of pg-health, or of what stands for it; null where the config names none. `unknown`: it did not answer. */
export type NodeHealth = 'primary' | 'standby' | 'fenced' | 'down' | 'unknown';

export type TopologyNode = {
  name: string;
  host: string;
  address: string;
  port: number;
  role: NodeRole;
  /** Why it is `down` or `unknown`. */
  why: string | null;
  timeline: number | null;
  /** Where a primary writes; null for others. */
  lsn: Lsn | null;
  receiveLsn: Lsn | null;
  replayLsn: Lsn | null;
  /** Behind the primary's LSN of this look; null: unknown, which is never good. */
  lagBytes: number | null;
  /** Age of the last replayed transaction; null when nothing was replayed or it is caught up. */
  lagSeconds: number | null;
  systemIdentifier: string | null;
  version: string | null;
  /** `streaming` and so on, from pg_stat_wal_receiver; null on a primary or when there is none. */
  receiver: string | null;
  /** application_name and sync_state that the primary shows for it. */
  sync: string | null;
  /** Slot on its upstream that it names in primary_slot_name; null when it names none. */
  slot: string | null;
  /** Not in recovery and not default_transaction_read_only; null when it did not say. */
  acceptsWrites: boolean | null;
  replayPaused: boolean;
  pendingRestart: string[];
  health: NodeHealth | null;
};

export type TopologySlot = {
  node: string;
  slot: string;
  type: 'physical' | 'logical';
  active: boolean;
  retainedBytes: number | null;
  walStatus: string | null;
  failover: boolean;
};
export type TopologyRouter = {
  instance: string;
  server: string;
  node: string | null;
  state: 'up' | 'down' | 'maint' | 'drain' | 'unknown';
  check: string;
  sessions: number | null;
};
export type TopologyPooler = {
  name: string;
  state: 'active' | 'paused' | 'unknown';
  why: string | null;
  waiting: number | null;
};

export type Topology = {
  environment: string;
  /**
   * Who takes writes, found out by a write that was rolled back; without a probe by asking whether the server would take one. `ms` counts from the
   * first packet to that server.
   */
  writeVip: { address: string; owner: string | null; probe: { ok: boolean; ms: number; why: string | null } };
  nodes: TopologyNode[];
  slots: TopologySlot[];
  routers: TopologyRouter[];
  poolers: TopologyPooler[];
  archiver: { node: string; failing: boolean; lastArchived: string | null; lastFailed: string | null } | null;
  contradictions: string[];
  /** What to do about each contradiction, in the same order. */
  advice: string[];
};
