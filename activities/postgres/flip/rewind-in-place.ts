/** pg_rewind on data that hold no commit of their own, as a job. What was cut short half-way is no cluster any more and needs a rebuild. */
import { rm } from 'node:fs/promises';
import path from 'node:path';

import type { RejoinInput } from '../../../shared/contracts/flip.js';
import { jobIdFor, shortRunId } from '../../../shared/ids.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { jobFailure } from '../../lib/exec-job.js';
import { faultPoint } from '../../lib/fault-points.js';
import { sourceAddress } from '../connection.js';
import { ownerOf, pathExists, readTextIfThere, replaceFile, runAsOwner, syncDirectory } from '../data-directory.js';
import { requireCluster, requireStopped, type NodePlace } from '../promotion/node-place.js';
import { copySettings } from '../promotion/production-settings.js';
import { rewindArgs } from '../rebuild/commands.js';
import { settingsDirFor } from './settings-dir.js';

const NOTHING_TO_DO = /no rewind required/;

/** Null when it is rewound; else why it is not. Configuration files are the node's own again afterwards (pg_rewind brings the source's). */
export async function rewindInPlace(deps: ActivityDeps, input: RejoinInput, place: NodePlace): Promise<string | null> {
  const { node, dataDir } = place;
  await requireStopped(dataDir);
  await requireCluster(node.binDir, dataDir, input.expect.systemIdentifier);
  const owner = await ownerOf(dataDir);
  const settings = await settingsDirFor(dataDir, shortRunId(input.runId), owner);
  // pg_rewind recovers a crashed cluster by a single-user server, which refuses a standby. The fence stays.
  await rm(path.join(dataDir, 'standby.signal'), { force: true });
  const { password, ...source } = await sourceAddress(deps, input.environment, input.to);
  const spec = {
    id: jobIdFor(input.runId, `rejoin-rewind-${input.node}`),
    argv: [path.join(node.binDir, 'pg_rewind'), ...rewindArgs(dataDir, source)],
    ...(password === null ? {} : { env: { PGPASSWORD: password } }),
    ...runAsOwner(owner),
  };
  const result = await deps.jobs.run(spec);
  faultPoint('rejoin-old-primary:rewound');
  const said =
    result.logTail.some((line) => NOTHING_TO_DO.test(line)) || (await pathExists(path.join(dataDir, 'backup_label')));
  await replaceFile(path.join(dataDir, 'standby.signal'), '', owner);
  if (result.exitCode !== 0 || !said) {
    await deps.jobs.forget(spec.id);
    return `pg_rewind did not succeed: ${jobFailure(spec, result).message}`;
  }
  await copySettings(settings, dataDir, owner);
  await rm(settings, { recursive: true, force: true });
  await syncDirectory(path.dirname(settings));
  return (await readTextIfThere(path.join(dataDir, 'postgresql.conf'))) === null
    ? `there is no postgresql.conf in ${dataDir}`
    : null;
}
