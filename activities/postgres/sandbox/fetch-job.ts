/** The job that brings base and WAL. Two steps share it: restore-base starts it and leaves when the bases are there, replay-wal attaches. */
import path from 'node:path';

import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import { jobIdFor } from '../../../shared/ids.js';
import type { FetchSpec } from '../../lib/backup-store.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { storeConfigOf } from '../../lib/environment-config.js';
import { programEnvironment } from '../../lib/exec-secrets.js';
import type { JobSpec } from '../../lib/job-runner.js';
import { ownerOf, pathExists, replaceFileUnflushed } from '../data-directory.js';
import { baseDirOf, type SandboxPlace } from './place.js';

export function fetchJobId(place: SandboxPlace): string {
  return jobIdFor(place.ref.runId, 'restore-base');
}

/**
 * Writes the specification of what is to be fetched and returns the job. Once the data directory is made, the bases are not part of it any
 * more: a mover that has to be started again then brings the rest of the WAL only.
 */
export async function prepareFetchJob(
  deps: Pick<ActivityDeps, 'store' | 'program'>,
  place: SandboxPlace,
  plan: RecoveryPlan,
): Promise<JobSpec> {
  const owner = await ownerOf(place.dir);
  const bases = (await pathExists(place.dataDir)) ? [] : plan.baseChain;
  const spec: FetchSpec = {
    environment: place.ref.environment,
    ...(plan.store === undefined ? {} : { store: plan.store }),
    baseIds: bases.map((base) => base.id),
    baseDirs: bases.map((_, index) => baseDirOf(place, index)),
    wal: {
      timeline: plan.timeline,
      firstSegment: plan.fetch.firstSegment,
      lastSegment: plan.fetch.lastSegment,
      walSegmentBytes: plan.walSegmentBytes,
      dir: place.walDir,
    },
    owner: process.getuid?.() === 0 ? owner : null,
    plan,
    binDir: place.binDir,
  };
  await replaceFileUnflushed(place.fetchSpec, `${JSON.stringify(spec, null, 2)}\n`, owner);
  const store = await deps.store(place.ref.environment, plan.store);
  return {
    id: fetchJobId(place),
    argv: [deps.program.node, ...store.fetchCommand(place.fetchSpec)],
    env: programEnvironment(storeConfigOf(place.environment, plan.store)),
  };
}

/** The file in the job directory that says that all bases are there; WAL may still come. */
export function baseDoneFile(jobDir: string): string {
  return path.join(jobDir, 'base-done');
}
