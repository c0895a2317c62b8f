/** Makes the second node: a streaming standby with a slot of its own, cloned from the running primary. */
import { join } from 'node:path';

import { runProgramOrFail } from '../activities/lib/exec.js';
import { pollUntil } from '../activities/lib/poll.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import { standbyArgs, slotOf } from './commands.js';
import type { LabContext } from './context.js';
import { queryNode } from './node-query.js';
import {
  madeBefore,
  makeNodeDir,
  putInPlace,
  serverOwner,
  throwAway,
  writeNodeFiles,
  type MakeResult,
} from './primary.js';

/** A clone of 100 MB takes seconds; ten minutes cover a very slow disk. */
const CLONE_TIMEOUT_MS = 600_000;
const SLOT_TIMEOUT_MS = 30_000;
const DROP_IDLE_SLOT =
  'select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1 and not active';

/** The standby's data directory, ready to be started. The primary must accept connections. */
export async function makeStandby(context: LabContext, archiveWords: readonly string[]): Promise<MakeResult> {
  const node = 'chicago';
  const before = await madeBefore(context, node);
  if (before !== null) return before;
  await makeNodeDir(context, node);
  const dataDir = context.paths.newDataDir(node);
  await throwAway(context, node);
  await dropSlotOfInterruptedClone(context, slotOf(node));
  const args = standbyArgs({
    primaryPort: context.state.ports.dallas,
    passFile: context.paths.replicationPassFile,
    node,
    dataDir,
  });
  await runProgramOrFail(join(context.state.tools.postgres.path, 'pg_basebackup'), args, {
    timeoutMs: CLONE_TIMEOUT_MS,
    ...(context.state.serverUser === null ? {} : { runAs: serverOwner(context) }),
  });
  await writeNodeFiles(context, node, dataDir, archiveWords);
  await putInPlace(context, node);
  return 'made';
}

/**
 * A clone that was interrupted leaves its slot, and pg_basebackup creates it only when there is none. Its sender on the primary may
 * need a moment to notice that the clone is gone.
 */
async function dropSlotOfInterruptedClone(context: LabContext, slot: string): Promise<void> {
  const { paths, state } = context;
  const gone = await pollUntil(
    async () => {
      await queryNode(paths, state, 'dallas', DROP_IDLE_SLOT, [slot]);
      const left = await queryNode(paths, state, 'dallas', 'select 1 from pg_replication_slots where slot_name = $1', [
        slot,
      ]);
      return left.length === 0 ? true : null;
    },
    { timeoutMs: SLOT_TIMEOUT_MS, everyMs: 100 },
  );
  if (gone === null) {
    throw new PgrFailure('PreconditionFailed', `replication slot ${slot} is in use although chicago has no data yet`, {
      hint: 'see who uses it: select * from pg_stat_replication on dallas',
    });
  }
}
