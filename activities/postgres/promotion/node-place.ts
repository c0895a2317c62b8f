/**
 * What a step of a promotion may touch: one node of the config, on this host, whose cluster is the one that the plan named. Each activity that
 * stops, renames or replaces something asks here first, in the same call (invariant 2). A mismatch is a refusal; nothing was touched.
 */
import path from 'node:path';

import type { EnvironmentConfig, NodeConfig } from '../../../config/schema.js';
import type { NodeIdentity, NodeStepInput } from '../../../shared/contracts/promotion.js';
import { keptDataDirFor, shortRunId, taskQueueForHost } from '../../../shared/ids.js';
import { currentActivity } from '../../lib/cancellation.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, nodeNamed } from '../../lib/environment-config.js';
import { stepFailure } from '../../lib/failure.js';
import { readControlData, type ControlData } from '../control-data.js';
import { directoryState } from '../data-directory.js';
import { readPostmaster } from '../postmaster.js';

export type NodePlace = {
  environment: EnvironmentConfig;
  node: NodeConfig;
  dataDir: string;
  /** The old data while the promoted ones are in their place. */
  keptDataDir: string;
  /** What says what the kept data are; written before the rename. */
  keptNote: string;
  /** The promoted data after an undo. */
  undoneDataDir: string;
  /** A clone that is being made. */
  cloneDir: string;
};

/** Paths of a node under one run. Throws IdentityMismatch when the config does not say what the plan said about this node. */
export function nodePlace(deps: Pick<ActivityDeps, 'config'>, input: NodeStepInput): NodePlace {
  const environment = environmentOf(deps.config, input.environment);
  const node = nodeNamed(environment, input.node);
  requireThisHost(node);
  refuseUnlessEqual('data directory', node.name, input.expect.dataDir, node.dataDir);
  refuseUnlessEqual('host', node.name, input.expect.host, node.host);
  const dataDir = path.resolve(node.dataDir);
  const keptDataDir = keptDataDirFor(dataDir, input.runId);
  return {
    environment,
    node,
    dataDir,
    keptDataDir,
    keptNote: `${keptDataDir}.json`,
    undoneDataDir: undoneDataDirFor(dataDir, input.runId),
    cloneDir: `${dataDir}.new-${shortRunId(input.runId)}`,
  };
}

/** Directory to which the promoted data are set aside by an undo of run `runId`. */
export function undoneDataDirFor(dataDir: string, runId: string): string {
  return `${dataDir}.undone-${shortRunId(runId)}`;
}

/** An activity that came in over the queue of another host must not touch anything here. */
export function requireThisHost(node: Pick<NodeConfig, 'name' | 'host'>): void {
  const queue = currentActivity()?.info.taskQueue;
  if (queue === undefined || !queue.startsWith('host/') || queue === taskQueueForHost(node.host)) return;
  throw stepFailure('IdentityMismatch', `node ${node.name} is on host ${node.host}, this is the worker of ${queue}`);
}

function refuseUnlessEqual(what: string, node: string, planned: string, actual: string): void {
  if (path.resolve('/', planned) === path.resolve('/', actual)) return;
  throw stepFailure('IdentityMismatch', `the ${what} of ${node} is ${actual} now, the plan said ${planned}`, {
    hint: 'nothing was touched; the config was changed after the plan was made: abort and start again',
  });
}

/** Control data of the cluster in `dir`, which must be that of `systemIdentifier`. Throws PreconditionFailed or IdentityMismatch. */
export async function requireCluster(binDir: string, dir: string, systemIdentifier: string): Promise<ControlData> {
  const facts = await readControlData(binDir, dir);
  if (facts === null) {
    throw stepFailure('PreconditionFailed', `there is no cluster in ${dir} (it is ${await directoryState(dir)})`);
  }
  if (facts.systemIdentifier === systemIdentifier) return facts;
  throw stepFailure(
    'IdentityMismatch',
    `${dir} holds the cluster with system identifier ${facts.systemIdentifier}, expected ${systemIdentifier}`,
  );
}

/** System identifier of the cluster that takes the place of the node's data: another one only where the run says so. Pure. */
export function replacementOf({ systemIdentifier, replacement }: NodeIdentity): string {
  return replacement ?? systemIdentifier;
}

/** {@link requireCluster} for a place in which either of the two clusters of the run may stand. */
export async function requireEither(binDir: string, dir: string, expect: NodeIdentity): Promise<ControlData> {
  const facts = await readControlData(binDir, dir);
  if (facts?.systemIdentifier === replacementOf(expect)) return facts;
  return requireCluster(binDir, dir, expect.systemIdentifier);
}

/** Throws PreconditionFailed unless it is certain that no server works on `dir`. */
export async function requireStopped(dir: string): Promise<void> {
  const seen = await readPostmaster(dir);
  if (seen.state === 'stopped') return;
  const why = seen.state === 'running' ? `a server runs on it (pid ${String(seen.pid)})` : seen.why;
  throw stepFailure('PreconditionFailed', `${dir} must not be touched: ${why}`, {
    hint: 'stop that server by hand (nothing was touched), then `pgr retry`',
  });
}
