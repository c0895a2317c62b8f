/** What is true now, whatever an earlier attempt did or did not do; and what follows from it (pure). */
import type pg from 'pg';

import type { FlipPlan } from '../../../shared/contracts/flip.js';
import type { Lsn } from '../../../shared/lsn.js';
import { stepFailure } from '../../lib/failure.js';
import { requireCluster } from '../promotion/node-place.js';
import type { Flip } from './flip-context.js';
import type { FlipNote } from './flip-note.js';
import type { OpenNodes } from './flip-sessions.js';
import { lsnOrNull } from './lsn-text.js';

/**
 * `primary`: accepts writes. `stopping`: a shutdown has begun, it does not accept sessions. `clean`: its shutdown checkpoint is written; nothing can be
 * written any more, whether its processes are gone or not. `crashed`: stopped without one. `elsewhere`: not on this host (failover).
 */
export type OldState = 'primary' | 'stopping' | 'clean' | 'crashed' | 'standby' | 'unknown' | 'elsewhere';
export type CandidateState =
  { is: 'standby'; replayLsn: Lsn | null } | { is: 'primary'; timeline: number } | { is: 'unreachable' };
export type Situation = { old: OldState; candidate: CandidateState };

export async function readSituation(flip: Flip, nodes: OpenNodes): Promise<Situation> {
  const [old, candidate] = await Promise.all([readOld(flip, nodes), readCandidate(flip, nodes.to?.client ?? null)]);
  return { old, candidate };
}

async function readOld(flip: Flip, nodes: OpenNodes): Promise<OldState> {
  if (flip.oldRuntime === null) return 'elsewhere';
  const control = await requireCluster(flip.from.binDir, flip.from.dataDir, flip.plan.from.systemIdentifier);
  const status = await flip.oldRuntime.status();
  if (status.state === 'unknown') return control.state === 'shut down' ? 'clean' : 'unknown';
  if (status.state === 'stopped') return control.state === 'shut down' ? 'clean' : 'crashed';
  if (nodes.from !== null) {
    const server = await readServer(nodes.from.client);
    requireIdentity(flip, flip.from.name, server.system);
    return server.standby ? 'standby' : 'primary';
  }
  if (control.state === 'shut down') return 'clean';
  return control.state === 'shutting down' || !status.accepting ? 'stopping' : 'unknown';
}

async function readCandidate(flip: Flip, client: pg.Client | null): Promise<CandidateState> {
  if (client === null) return { is: 'unreachable' };
  const server = await readServer(client);
  requireIdentity(flip, flip.to.name, server.system);
  return server.standby
    ? { is: 'standby', replayLsn: lsnOrNull(server.replay) }
    : { is: 'primary', timeline: server.timeline };
}

type Server = { system: string; standby: boolean; replay: string | null; timeline: number };

async function readServer(client: pg.Client): Promise<Server> {
  const { rows } = await client.query<Server>(
    `select system_identifier::text as system, pg_is_in_recovery() as standby, pg_last_wal_replay_lsn()::text as replay,
            case when pg_is_in_recovery() then 0
                 else ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int end as timeline
       from pg_control_system()`,
  );
  const row = rows[0];
  if (row !== undefined) return row;
  throw stepFailure('Bug', 'the server did not say who it is');
}

function requireIdentity(flip: Flip, node: string, systemIdentifier: string): void {
  if (systemIdentifier === flip.plan.from.systemIdentifier) return;
  throw stepFailure(
    'IdentityMismatch',
    `the server at the address of ${node} has system identifier ${systemIdentifier}`,
  );
}

/**
 * `run` from the beginning; `prove` and go on from a stopped old primary; `promote` although nothing can be undone any more; `complete` what is behind
 * the promotion; `undo`; or stop with a reason.
 */
export type Decision =
  | { act: 'run' | 'prove' | 'promote' | 'complete' }
  | { act: 'undo'; why: string }
  | { act: 'refuse'; why: string; hint: string; type: 'PreconditionFailed' | 'FenceFailed' | 'DatabaseUnavailable' };

/** Pure: the whole of a flip's idempotency is in this table. */
export function decide(situation: Situation, note: FlipNote | null, plan: FlipPlan): Decision {
  const { old, candidate } = situation;
  const promoting = note !== null && note.state !== 'begun';
  if (candidate.is === 'primary') return withPromoted(candidate.timeline, old, promoting, plan);
  if (promoting) return beyondReturn(old, candidate, plan);
  if (candidate.is === 'unreachable') return withoutCandidate(old, note, plan);
  return note === null ? untouched(old, plan) : withStandby(old, plan);
}

function withPromoted(timeline: number, old: OldState, promoting: boolean, plan: FlipPlan): Decision {
  const { from, to } = plan;
  if (timeline <= to.timeline) {
    const why = `${to.name} accepts writes on timeline ${String(timeline)}, without a promotion`;
    const hint = 'stop it at once if the old primary accepts writes too, and look at `pgr topology`';
    return refuse('FenceFailed', why, hint);
  }
  if (promoting || old !== 'primary') return { act: 'complete' };
  // Both may have writes that the other has not: which of them go is not for a program to decide.
  return refuse(
    'FenceFailed',
    `${from.name} and ${to.name} both accept writes, and not because of this flip`,
    `stop the one that shall not be the primary; with ${from.name} stopped, \`pgr retry\` completes the flip`,
  );
}

function beyondReturn(old: OldState, candidate: CandidateState, plan: FlipPlan): Decision {
  if (candidate.is === 'standby' && old === 'primary') {
    return refuse(
      'FenceFailed',
      `${plan.from.name} was started again as a primary although ${plan.to.name} was told to promote itself`,
      `stop ${plan.from.name} in order, then \`pgr retry\` promotes ${plan.to.name}`,
    );
  }
  if (candidate.is === 'standby') return old === 'unknown' ? unknownOld(plan) : { act: 'promote' };
  const why = `${plan.to.name} was told to promote itself and does not answer; ${plan.from.name} stays stopped, because both could accept writes otherwise`;
  return refuse(
    'DatabaseUnavailable',
    why,
    `bring ${plan.to.name} back; start ${plan.from.name} as primary only when ${plan.to.name} is certainly off`,
  );
}

function withoutCandidate(old: OldState, note: FlipNote | null, plan: FlipPlan): Decision {
  const why = `${plan.to.name} does not answer`;
  if (note === null || old === 'elsewhere')
    return refuse('PreconditionFailed', why, `nothing was touched; bring ${plan.to.name} back, then \`pgr retry\``);
  return { act: 'undo', why };
}

/** No attempt has begun: a server that somebody else stopped, or made a standby, is not ours to start. */
function untouched(old: OldState, plan: FlipPlan): Decision {
  if (old !== 'crashed' && old !== 'standby') return withStandby(old, plan);
  const what = old === 'crashed' ? 'is down, without its shutdown checkpoint' : 'is a standby now';
  return refuse(
    'PreconditionFailed',
    `${plan.from.name} ${what}, and not because of this flip`,
    'nothing was touched; see `pgr topology`, then `pgr abort`, and start it or make it a failover',
  );
}

function withStandby(old: OldState, plan: FlipPlan): Decision {
  const { name } = plan.from;
  switch (old) {
    case 'primary':
      return { act: 'run' };
    case 'stopping':
    case 'clean':
      return { act: 'prove' };
    case 'crashed':
      return plan.mode === 'cut'
        ? { act: 'prove' }
        : { act: 'undo', why: `${name} ended without its shutdown checkpoint` };
    case 'elsewhere':
      return { act: 'promote' };
    case 'standby':
      return { act: 'undo', why: `${name} was started as a standby before anything was promoted` };
    case 'unknown':
      return unknownOld(plan);
  }
}

function unknownOld({ from }: FlipPlan): Decision {
  return refuse(
    'FenceFailed',
    `nobody can tell whether ${from.name} runs`,
    'look at its processes on its host, then `pgr retry`',
  );
}

function refuse(
  type: 'PreconditionFailed' | 'FenceFailed' | 'DatabaseUnavailable',
  why: string,
  hint: string,
): Decision {
  return { act: 'refuse', type, why, hint };
}
