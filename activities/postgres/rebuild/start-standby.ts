/**
 * Starts the rebuilt standby and waits until it streams and is close behind. Refuses data that are not whole, and data that would not come up as a standby:
 * an old primary that is started as it is accepts writes.
 */
import path from 'node:path';

import type { RebuildStepInput, StartStandbyResult } from '../../../shared/contracts/rebuild.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { row } from '../checks/check-row.js';
import { connectNode } from '../connection.js';
import { pathExists } from '../data-directory.js';
import { requireCluster } from '../promotion/node-place.js';
import { waitForStreaming } from '../standby/wait-for-streaming.js';
import { requirePeer } from './peer.js';
import { rebuildPlace, type RebuildPlace } from './rebuild-place.js';
import { readState, writeState } from './rebuild-state.js';

export function createStartStandby(deps: ActivityDeps) {
  return async function startStandby(input: RebuildStepInput): Promise<StartStandbyResult> {
    const startedAt = Date.now();
    const { environment, plan } = input;
    const place = rebuildPlace(deps, input);
    const { systemIdentifier } = place;
    const node = plan.node.name;
    const from = plan.from.name;
    await requireWhole(place);
    await place.runtime.start();
    faultPoint('rebuild:started');
    const { timeline } = await requirePeer(deps, { environment, node, from, systemIdentifier });
    const lagBytes = await waitForStreaming(deps, { environment, node, from, systemIdentifier, timeline });
    const checks = await checkFollower(deps, environment, node, from, timeline);
    const wrong = checks.filter((check) => !check.ok).map((check) => `${check.check}: ${check.actual}`);
    if (wrong.length > 0) {
      throw stepFailure('PreconditionFailed', `${node} streams, but not as it should: ${wrong.join('; ')}`);
    }
    const state = await readState(place);
    if (state?.stage === 'done') await writeState(place, { ...state, stage: 'streaming' });
    return { timeline, lagBytes, seconds: (Date.now() - startedAt) / 1000, checks };
  };
}

async function requireWhole(place: RebuildPlace): Promise<void> {
  const stage = (await readState(place))?.stage ?? 'returned';
  if (!['done', 'streaming', 'returned'].includes(stage) || (await pathExists(place.workDir))) {
    throw stepFailure(
      'PreconditionFailed',
      `the new data of ${place.node.name} are not whole (${stage}): not started`,
      {
        hint: `\`pgr retry\` of the copy goes on; the old data are in ${place.plan.safetyCopy.name}`,
      },
    );
  }
  await requireCluster(place.node.binDir, place.dataDir, place.systemIdentifier);
  if (await pathExists(path.join(place.dataDir, 'standby.signal'))) return;
  throw stepFailure(
    'PreconditionFailed',
    `${place.dataDir} has no standby.signal: started as it is, ${place.node.name} would accept writes`,
    {
      hint: 'these are the data of an old primary; rebuild it again, or start it by hand when no other node is primary',
    },
  );
}

type Seen = { recovery: boolean; conninfo: boolean; state: string | null; slotActive: boolean | null };

/** Both sides say the same: the standby is in recovery, the primary streams to it through its slot. */
async function checkFollower(deps: ActivityDeps, environment: string, node: string, from: string, timeline: number) {
  const own = await connectNode(deps, environment, node, {}, async (client) => {
    const { rows } = await client.query<{ recovery: boolean; slot: string; timeline: number | null }>(
      `select pg_is_in_recovery() as recovery, current_setting('primary_slot_name') as slot,
              (select received_tli from pg_stat_wal_receiver) as timeline`,
    );
    return rows[0] ?? { recovery: false, slot: '', timeline: null };
  });
  const seen = await connectNode(deps, environment, from, {}, async (client) => {
    const { rows } = await client.query<Pick<Seen, 'state' | 'slotActive'>>(
      `select (select active from pg_replication_slots where slot_name = $1) as "slotActive",
              (select r.state from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid where s.slot_name = $1) as state`,
      [own.slot],
    );
    return rows[0] ?? { state: null, slotActive: null };
  });
  return [
    row('role', 'in recovery', own.recovery ? 'in recovery' : 'accepts writes', own.recovery),
    row('timeline', String(timeline), String(own.timeline ?? 'none'), own.timeline === timeline),
    row(
      'slot',
      `${own.slot} active on ${from}`,
      seen.slotActive === true ? 'active' : 'not active',
      seen.slotActive === true,
    ),
    row('stream', 'streaming', seen.state ?? 'none', seen.state === 'streaming' || seen.state === 'catchup'),
  ];
}
