/** pg_basebackup of a whole cluster as a job, with the progress that the primary shows. */
import path from 'node:path';

import type { ActivityDeps } from '../../lib/deps.js';
import type { JobProgress, JobSpec } from '../../lib/job-runner.js';
import { standbyCloneArgs } from '../commands.js';
import { connectNode, replicationAddress } from '../connection.js';
import { directoryState, pathExists, runAsOwner, type Owner } from '../data-directory.js';

/** Last file that pg_basebackup writes: a copy without it is not complete. */
const MANIFEST = 'backup_manifest';

export type BaseCopy = {
  id: string;
  environment: string;
  /** The standby that is to be. */
  node: string;
  from: string;
  binDir: string;
  targetDir: string;
  slot: string;
  owner: Owner;
  rateLimitKbPerSecond: number | null;
};

/** The password goes by the environment; pg_basebackup writes it into primary_conninfo (a file of mode 0600), as a standby needs it. */
export async function baseCopyJob(deps: ActivityDeps, copy: BaseCopy): Promise<JobSpec> {
  const { host, port, user, password } = await replicationAddress(deps, copy.environment, copy.from);
  const { targetDir, slot, node, rateLimitKbPerSecond } = copy;
  const clone = { host, port, user, targetDir, slot, applicationName: node, rateLimitKbPerSecond };
  return {
    id: copy.id,
    argv: [path.join(copy.binDir, 'pg_basebackup'), ...standbyCloneArgs(clone)],
    ...(password === null ? {} : { env: { PGPASSWORD: password } }),
    ...runAsOwner(copy.owner),
  };
}

/** True when the copy is there as a whole. */
export async function isCompleteCopy(dir: string): Promise<boolean> {
  return (await directoryState(dir)) === 'cluster' && pathExists(path.join(dir, MANIFEST));
}

/** Bytes as the primary counts them (pg_stat_progress_basebackup) for the copy that `node` makes. */
export async function readCopyProgress(
  deps: ActivityDeps,
  environment: string,
  from: string,
  node: string,
): Promise<JobProgress | null> {
  return connectNode(deps, environment, from, { statementTimeoutMs: 2_000 }, async (client) => {
    const { rows } = await client.query<{ done: string; total: string | null; phase: string }>(
      `select p.backup_streamed::text as done, p.backup_total::text as total, p.phase
         from pg_stat_progress_basebackup p join pg_stat_activity a using (pid)
        where a.application_name = $1 order by p.backup_streamed desc limit 1`,
      [node],
    );
    const row = rows[0];
    if (row === undefined) return null;
    const total = row.total === null ? null : Number(row.total);
    return { done: Number(row.done), total, unit: 'bytes', note: row.phase };
  });
}
