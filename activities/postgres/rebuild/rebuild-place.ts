/**
 * What a step of a rebuild may touch: one node of the config, on this host, as the plan named it. Each activity that stops, moves or replaces
 * something asks here first, in the same call (invariant 2). A mismatch is a refusal; nothing was touched.
 */
import path from 'node:path';

import type { NodeConfig } from '../../../config/schema.js';
import type { RebuildPlan, RebuildStepInput } from '../../../shared/contracts/rebuild.js';
import { jobIdFor, shortRunId, slugFor } from '../../../shared/ids.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import type { NodeRuntime } from '../../lib/runtime.js';
import type { SnapshotProvider } from '../../lib/snapshot.js';
import { directoryState, ownerOf, type Owner } from '../data-directory.js';
import { nodePlace, requireCluster, requireStopped } from '../promotion/node-place.js';

export type RebuildPlace = {
  environment: string;
  run: string;
  runId: string;
  plan: RebuildPlan;
  node: NodeConfig;
  dataDir: string;
  systemIdentifier: string;
  provider: SnapshotProvider;
  runtime: NodeRuntime;
  /** The safety copy leaves the data where they are: new data are made inside of the directory and moved up. Else beside it, and renamed. */
  inPlace: boolean;
  /** Where the new data are made. Nothing can be started from the data directory until they are whole. */
  workDir: string;
  /** In place only: what was in the data directory, until it is deleted (the safety copy has it). */
  oldDir: string;
  /** The renamed data (`directory`); elsewhere nothing is there. */
  keptDataDir: string;
  /** What this rebuild did so far, and the configuration of the node as it was. */
  stateFile: string;
  settingsDir: string;
  jobId(name: string): string;
};

/** Paths of the node under this run. Throws IdentityMismatch when config and plan differ, or when this is another host. */
export function rebuildPlace(deps: ActivityDeps, input: RebuildStepInput): RebuildPlace {
  const { environment, run, runId, plan } = input;
  const { systemIdentifier, dataDir: planned, host, name } = plan.node;
  const expect = { systemIdentifier, dataDir: planned, host };
  const { node, dataDir, keptDataDir } = nodePlace(deps, { environment, node: name, run, runId, expect });
  const provider = deps.snapshot(environment, name);
  if (provider.kind !== plan.safetyCopy.provider || provider.nameFor(runId) !== plan.safetyCopy.name) {
    throw stepFailure(
      'IdentityMismatch',
      `the safety copy of ${name} would be ${provider.kind} ${provider.nameFor(runId)} now, the plan said ${plan.safetyCopy.provider} ${plan.safetyCopy.name}`,
      { hint: 'nothing was touched; the config was changed after the plan was made: abort and start again' },
    );
  }
  const inPlace = provider.kind !== 'directory';
  const short = shortRunId(runId);
  const base = path.join(deps.config.stateDir, 'rebuilds', slugFor(`${environment}.${name}.${short}`));
  return {
    environment,
    run,
    runId,
    plan,
    node,
    dataDir,
    systemIdentifier,
    provider,
    runtime: deps.runtime(environment, name),
    inPlace,
    workDir: inPlace ? path.join(dataDir, `.pgr-new-${short}`) : `${dataDir}.new-${short}`,
    oldDir: path.join(dataDir, `.pgr-old-${short}`),
    keptDataDir,
    stateFile: `${base}.json`,
    settingsDir: `${base}.settings`,
    jobId: (job) => jobIdFor(runId, `rebuild-${name}-${job}`),
  };
}

/** Throws unless it is certain that no server works on the node's data: as its runtime says, and as the processes of this host show. */
export async function requireServerStopped(place: RebuildPlace): Promise<string> {
  const seen = await place.runtime.status();
  if (seen.state !== 'stopped') {
    const why = seen.state === 'running' ? `its server runs (pid ${String(seen.pid)})` : seen.why;
    throw stepFailure('PreconditionFailed', `the data of ${place.node.name} must not be touched: ${why}`, {
      hint: 'stop that server (nothing was touched), then `pgr retry`',
    });
  }
  for (const dir of [place.dataDir, place.workDir, place.keptDataDir]) await requireStopped(dir);
  return seen.why;
}

/** The cluster that stands in the data directory is the one that the plan named; none at all is fine. Throws IdentityMismatch. */
export async function requirePlannedCluster(place: RebuildPlace): Promise<'cluster' | 'nothing'> {
  const state = await directoryState(place.dataDir);
  if (state === 'missing' || state === 'empty') return 'nothing';
  await requireCluster(place.node.binDir, place.dataDir, place.systemIdentifier);
  return 'cluster';
}

/** Owner of the node's data, wherever they are now; of the directory around them when there are none. */
export async function ownerOfData(place: RebuildPlace): Promise<Owner> {
  for (const dir of [place.dataDir, place.keptDataDir]) {
    if ((await directoryState(dir)) !== 'missing') return ownerOf(dir);
  }
  return ownerOf(path.dirname(place.dataDir));
}
