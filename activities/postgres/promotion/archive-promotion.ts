/** Everything that the private server owes the archive is there before production starts: the history of the new timeline above all. */
import type pg from 'pg';
import path from 'node:path';

import type { EndRecoveryInput } from '../../../shared/contracts/promotion.js';
import { historyName } from '../../../shared/timeline.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { pollUntil } from '../../lib/poll.js';
import { readArchiver, waitUntilArchived } from './archive-wait.js';
import { readyFiles } from './capture-tail.js';
import type { NodePlace } from './node-place.js';
import type { PrivateServer } from './private-server.js';

const STALL_MS = 90_000;

/**
 * Waits for the history file (proven by the store) and for every other waiting file, then writes a checkpoint. Throws ArchiveFailing. A store with
 * a receiver of its own gets the history later: its backups are paused now.
 */
export async function archivePromotion(
  deps: ActivityDeps,
  input: EndRecoveryInput,
  place: NodePlace,
  server: PrivateServer,
): Promise<void> {
  const store = await deps.store(input.environment);
  await server.session(async (client) => {
    const timeline = await readTimeline(client);
    if (timeline <= input.plan.timeline) {
      throw stepFailure('RecoveryStopped', `the server is up on timeline ${String(timeline)}: it was not promoted`);
    }
    if (store.walReceiver === undefined) await waitUntilArchived(client, store, historyName(timeline));
    await client.query('checkpoint');
    await waitForBacklog(client, place);
  });
}

/** The timeline on which a primary writes. */
async function readTimeline(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ timeline: string }>(
    'select substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) as timeline',
  );
  return Number.parseInt(rows[0]?.timeline ?? '0', 16);
}

async function waitForBacklog(client: pg.Client, place: NodePlace): Promise<void> {
  const walDir = path.join(place.dataDir, 'pg_wal');
  let count = (await readArchiver(client)).archivedCount;
  let deadline = Date.now() + STALL_MS;
  await pollUntil<true>(
    async () => {
      const waiting = await readyFiles(walDir);
      if (waiting.length === 0) return true;
      const archiver = await readArchiver(client);
      if (archiver.archivedCount > count) deadline = Date.now() + STALL_MS;
      count = archiver.archivedCount;
      if (Date.now() < deadline) return null;
      throw stepFailure('ArchiveFailing', `these files do not get into the archive: ${waiting.slice(0, 5).join(', ')}`);
    },
    { timeoutMs: Number.MAX_SAFE_INTEGER, everyMs: 100 },
  );
}
