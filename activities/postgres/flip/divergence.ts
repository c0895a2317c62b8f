/** What a stopped old primary has that the new one does not, and so how it can come back. Changes nothing. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import type pg from 'pg';

import type { LostTail, RejoinInput } from '../../../shared/contracts/flip.js';
import { compareLsn, type Lsn } from '../../../shared/lsn.js';
import { historyName, parseHistory } from '../../../shared/timeline.js';
import { stepFailure } from '../../lib/failure.js';
import { CLEAN_STATES, type ControlData } from '../control-data.js';
import { requireCluster, type NodePlace } from '../promotion/node-place.js';
import { readLostTail, recordsBehind } from './lost-tail.js';

export type Divergence =
  { kind: 'restart' | 'rewind'; lost: LostTail } | { kind: 'rebuild'; why: string; lost: LostTail };

/**
 * `restart`: nothing behind the fork. `rewind`: something, but no commit, or there is a copy of it. `rebuild`: commits would be lost, so the safety copy
 * of a rebuild is needed; or nobody can tell.
 */
export async function readDivergence(input: RejoinInput, place: NodePlace, client: pg.Client): Promise<Divergence> {
  const { node } = place;
  const control = await requireCluster(node.binDir, place.dataDir, input.expect.systemIdentifier);
  const none: LostTail = { commits: [], exact: true };
  // It was a standby of the new timeline already: an earlier attempt came that far.
  if (control.timeline === input.timeline) return { kind: 'restart', lost: none };
  const fork = await forkOf(client, input.timeline, control.timeline);
  if (isBefore(control, fork)) return { kind: 'restart', lost: none };
  const lost = await readLostTail(node, control.timeline, fork);
  if (lost.exact && (await recordsBehind(node, control.timeline, fork)) === 'none') return { kind: 'restart', lost };
  const blocker = await rewindBlocker(place, control, client);
  if (blocker !== null) return { kind: 'rebuild', why: blocker, lost };
  if (lost.exact && lost.commits.length === 0) return { kind: 'rewind', lost };
  const why = lost.exact
    ? `${String(lost.commits.length)} commits that ${input.to} does not have`
    : 'an end of its WAL that cannot be read';
  return { kind: 'rebuild', why: `${node.name} has ${why}; a rebuild keeps them in its safety copy`, lost };
}

/** Shut down in order before the place where the new timeline begins: there is nothing behind its last checkpoint. */
function isBefore(control: ControlData, fork: Lsn): boolean {
  return CLEAN_STATES.includes(control.state) && compareLsn(control.checkpointLsn, fork) < 0;
}

/** Where the history of `timeline` leaves `ancestor`. */
async function forkOf(client: pg.Client, timeline: number, ancestor: number): Promise<Lsn> {
  const { rows } = await client.query<{ text: string }>('select pg_read_file($1) as text', [
    `pg_wal/${historyName(timeline)}`,
  ]);
  const fork = parseHistory(rows[0]?.text ?? '')?.find((one) => one.timeline === ancestor);
  if (fork !== undefined) return fork.switchLsn;
  throw stepFailure(
    'IdentityMismatch',
    `timeline ${String(timeline)} does not come from timeline ${String(ancestor)} of the old primary`,
    {
      hint: 'copy it anew: `pgr rebuild-standby`',
    },
  );
}

/**
 * Why pg_rewind cannot work on these data, null when it can (PostgreSQL docs and source, pg_rewind): the data must have checksums or wal_log_hints, one
 * is enough and pg_control knows both; the source must have full_page_writes, which mend pages that were torn while they were read from it.
 */
async function rewindBlocker(place: NodePlace, control: ControlData, source: pg.Client): Promise<string | null> {
  if (!control.checksums && !control.walLogHints) return 'it has neither data checksums nor wal_log_hints';
  const { rows } = await source.query<{ on: boolean }>("select current_setting('full_page_writes') = 'on' as on");
  if (rows[0]?.on !== true) return 'full_page_writes is off on the new primary';
  const names = await readdir(path.join(place.dataDir, 'pg_wal'));
  return names.some((name) => /^[0-9A-F]{24}$/.test(name)) ? null : 'there is no WAL in it to compare';
}
