/** pg_rewind on data that hold no commit of their own, as a job. What was cut short half-way is no cluster any more and needs a rebuild. */
import { rm } from 'node:fs/promises';
import path from 'node:path';

import type { RejoinInput } from '../../../shared/contracts/flip.js';
import { jobIdFor, shortRunId } from '../../../shared/ids.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { jobFailure } from '../../lib/exec-job.js';
import { isFailureOf } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import type { JobSpec } from '../../lib/job-runner.js';
import { sourceAddress } from '../connection.js';
import { ownerOf, pathExists, readTextIfThere, replaceFile, runAsOwner } from '../data-directory.js';
import { requireCluster, requireStopped, type NodePlace } from '../promotion/node-place.js';
import { copySettings } from '../promotion/production-settings.js';
import { rewindArgs } from '../rebuild/commands.js';
import { markRewound, settingsDirFor } from './settings-dir.js';

const NOTHING_TO_DO = /no rewind required/;

/**
 * Null when it is rewound; else why it is not. Configuration files are the node's own again afterwards (pg_rewind brings the source's). Killed anywhere,
 * the next attempt attaches to the job or takes its result: pg_rewind never runs a second time on what a first one left.
 */
export async function rewindInPlace(deps: ActivityDeps, input: RejoinInput, place: NodePlace): Promise<string | null> {
  const { node, dataDir } = place;
  const run = shortRunId(input.runId);
  await requireStopped(dataDir);
  await requireCluster(node.binDir, dataDir, input.expect.systemIdentifier);
  const owner = await ownerOf(dataDir);
  const settings = await settingsDirFor(dataDir, run, owner);
  faultPoint('rejoin-old-primary:settings-kept');
  // pg_rewind recovers a crashed cluster by a single-user server, which refuses a standby. The fence stays.
  await rm(path.join(dataDir, 'standby.signal'), { force: true });
  const { password, ...source } = await sourceAddress(deps, input.environment, input.to);
  const refusal = await runRewind(deps, dataDir, {
    id: jobIdFor(input.runId, `rejoin-rewind-${input.node}`),
    argv: [path.join(node.binDir, 'pg_rewind'), ...rewindArgs(dataDir, source)],
    ...(password === null ? {} : { env: { PGPASSWORD: password } }),
    ...runAsOwner(owner),
  });
  faultPoint('rejoin-old-primary:rewound');
  await replaceFile(path.join(dataDir, 'standby.signal'), '', owner);
  if (refusal !== null) return refusal;
  await copySettings(settings, dataDir, owner);
  faultPoint('rejoin-old-primary:settings-back');
  if ((await readTextIfThere(path.join(dataDir, 'postgresql.conf'))) === null)
    return `there is no postgresql.conf in ${dataDir}`;
  await markRewound(dataDir, run);
  return null;
}

async function runRewind(deps: ActivityDeps, dataDir: string, spec: JobSpec): Promise<string | null> {
  try {
    const result = await deps.jobs.run({ ...spec, once: true });
    const said =
      result.logTail.some((line) => NOTHING_TO_DO.test(line)) || (await pathExists(path.join(dataDir, 'backup_label')));
    if (result.exitCode === 0 && said) return null;
    return `pg_rewind did not succeed: ${jobFailure(spec, result).message}`;
  } catch (error) {
    if (!isFailureOf(error, 'JobLost')) throw error;
    return `pg_rewind was cut short, and what it left is no cluster: ${error.message}`;
  }
}
