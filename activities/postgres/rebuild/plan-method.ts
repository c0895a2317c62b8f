/** Which way the new data are made, and why. Pure. */
import type { RebuildMethod } from '../../../shared/contracts/rebuild.js';
import type { ControlData } from '../control-data.js';
import type { PeerFacts } from './plan-peer.js';
import type { DryRunResult } from './rewind.js';

export type MethodFacts = {
  asked: 'auto' | RebuildMethod;
  from: string;
  /** Null: there is no cluster on the node. */
  own: Pick<ControlData, 'timeline' | 'checksums' | 'walLogHints' | 'state'> | null;
  running: boolean;
  peerTimeline: number;
  peer: Pick<PeerFacts, 'fullPageWrites' | 'rewindAllowed'>;
  /** Where the WAL is a link, a rewind on a copy would change the kept data. */
  walIsLink: boolean;
  /** Null when it could not be tried: the server runs, or the cluster was not shut down in order. */
  dryRun: DryRunResult | null;
};

export type Method = { method: RebuildMethod; fallback: boolean; why: string; refusal: string | null };

/**
 * pg_combinebackup needs the base that an increment is taken against, unchanged and with its manifest. The data of a standby have been written to since
 * they were copied, whatever manifest still lies among them: combined with an increment they would be silently wrong.
 */
const NO_INCREMENTAL = 'no increment: the node keeps no unchanged base that one could be combined with';

/** `refusal`: why what was asked for cannot be done. */
export function chooseMethod(facts: MethodFacts): Method {
  if (facts.asked === 'basebackup') return full('a full copy was asked for');
  const blocker = rewindBlocker(facts);
  if (blocker !== null) {
    return {
      ...full(`no rewind: ${blocker}; ${NO_INCREMENTAL}`),
      refusal: facts.asked === 'rewind' ? `no rewind: ${blocker}` : null,
    };
  }
  const fallback = facts.asked === 'auto';
  return { method: 'rewind', fallback, why: rewindWhy(facts, fallback), refusal: null };
}

function full(why: string): Method {
  return { method: 'basebackup', fallback: false, why, refusal: null };
}

/** Why pg_rewind cannot or need not work here, null when it can. */
export function rewindBlocker(facts: MethodFacts): string | null {
  const { own, peer, from } = facts;
  if (own === null) return 'there is no cluster on the node';
  if (own.timeline === facts.peerTimeline) {
    return `node and ${from} are both on timeline ${String(own.timeline)}: there is no other history to rewind from`;
  }
  if (!own.checksums && !own.walLogHints) return 'the cluster has neither data checksums nor wal_log_hints';
  if (!peer.fullPageWrites) return `full_page_writes is off on ${from}`;
  if (!peer.rewindAllowed) return `the login may not read files on ${from} (pg_read_binary_file and others)`;
  if (facts.walIsLink) return 'pg_wal is a link to another place, which the safety copy would share';
  return facts.dryRun?.possible === false ? `pg_rewind --dry-run said: ${facts.dryRun.said}` : null;
}

function rewindWhy(facts: MethodFacts, fallback: boolean): string {
  const timelines = `the node is on timeline ${String(facts.own?.timeline)}, ${facts.from} on ${String(facts.peerTimeline)}`;
  const otherwise = fallback ? ', otherwise everything is copied' : '';
  if (facts.dryRun !== null) return `${timelines}; pg_rewind --dry-run: ${facts.dryRun.said}`;
  return facts.running
    ? `${timelines}; pg_rewind is tried out when the server is stopped${otherwise}`
    : `${timelines}; it was not shut down in order ("${facts.own?.state ?? ''}"): pg_rewind recovers it first${otherwise}`;
}
