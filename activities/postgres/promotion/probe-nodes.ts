/** Who is who in an environment, asked of every node before anything is planned. */
import path from 'node:path';

import type { EnvironmentConfig, NodeConfig } from '../../../config/schema.js';
import type { PlannedNode } from '../../../shared/contracts/promotion.js';
import { keptDataDirFor } from '../../../shared/ids.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { isFailureOf, stepFailure } from '../../lib/failure.js';
import { connectNode } from '../connection.js';
import { readControlData } from '../control-data.js';
import { pathExists } from '../data-directory.js';
import { readPostmaster } from '../postmaster.js';
import { readServerFacts } from './start-checks.js';

export type ProbedNode = {
  node: NodeConfig;
  state: PlannedNode['state'];
  role: PlannedNode['role'];
  /** Null when nothing could say: the server is down and its files are on another host, or there is no cluster. */
  systemIdentifier: string | null;
  timeline: number;
  /** Why it is not running, for people. */
  note: string | null;
};

/**
 * Asks every node of the environment; one that does not answer is looked at through its files when they are on `host`. Throws
 * PreconditionFailed when a server lives on this host and does not answer.
 */
export async function probeNodes(
  deps: ActivityDeps,
  environmentName: string,
  environment: EnvironmentConfig,
  host: string,
): Promise<ProbedNode[]> {
  return Promise.all(environment.nodes.map(async (node) => probeNode(deps, environmentName, node, host)));
}

async function probeNode(deps: ActivityDeps, environment: string, node: NodeConfig, host: string): Promise<ProbedNode> {
  try {
    const facts = await connectNode(deps, environment, node.name, { connectTimeoutMs: 3_000 }, readServerFacts);
    const { systemIdentifier, timeline } = facts;
    return {
      node,
      state: 'running',
      role: facts.inRecovery ? 'standby' : 'primary',
      systemIdentifier,
      timeline,
      note: null,
    };
  } catch (error) {
    if (!isFailureOf(error, 'DatabaseUnavailable')) throw error;
    const why = error instanceof Error ? error.message : 'no answer';
    return node.host === host ? probeFiles(node, why) : unreachable(node, why);
  }
}

function unreachable(node: NodeConfig, why: string): ProbedNode {
  return { node, state: 'down', role: 'unknown', systemIdentifier: null, timeline: 0, note: why };
}

async function probeFiles(node: NodeConfig, why: string): Promise<ProbedNode> {
  const server = await readPostmaster(node.dataDir);
  if (server.state !== 'stopped') {
    const what = server.state === 'running' ? `its server lives (pid ${String(server.pid)})` : server.why;
    throw stepFailure('PreconditionFailed', `node ${node.name} does not answer, but ${what}`, {
      hint: 'bring it to answer, or stop it by hand; then `pgr retry`',
    });
  }
  const facts = await readControlData(node.binDir, node.dataDir);
  if (facts === null) {
    const note = `there is no cluster in ${node.dataDir}`;
    return { node, state: 'down', role: 'unknown', systemIdentifier: null, timeline: 0, note };
  }
  const isStandby = await pathExists(path.join(node.dataDir, 'standby.signal'));
  const { systemIdentifier, timeline, state } = facts;
  const note = `${why}; cluster state "${state}"`;
  return { node, state: 'down', role: isStandby ? 'standby' : 'primary', systemIdentifier, timeline, note };
}

/** The row of a plan. `expected` stands in for the identity of a node that could not be asked; its own step proves it before it acts. */
export function plannedNode(probed: ProbedNode, runId: string, expected: string): PlannedNode {
  const { node, state, role, timeline } = probed;
  return {
    name: node.name,
    host: node.host,
    dataDir: node.dataDir,
    keptDataDir: keptDataDirFor(path.resolve(node.dataDir), runId),
    state,
    role,
    systemIdentifier: probed.systemIdentifier ?? expected,
    timeline,
  };
}

/**
 * The node whose place the sandbox takes: the running primary, or on this host the one that was. Throws PreconditionFailed when that cannot be
 * told, or when it is on another host: the sandbox could not be renamed into its place.
 */
export function choosePrimary(nodes: readonly ProbedNode[], host: string): ProbedNode {
  const running = nodes.filter((probed) => probed.state === 'running' && probed.role === 'primary');
  if (running.length > 1) {
    const names = running.map((probed) => probed.node.name).join(' and ');
    throw stepFailure('PreconditionFailed', `${names} both accept writes`, {
      hint: 'stop the one that is not production, then `pgr retry`',
    });
  }
  const chosen = running[0] ?? nodes.find((probed) => probed.node.host === host && probed.role !== 'standby');
  if (chosen === undefined) {
    throw stepFailure('PreconditionFailed', `no primary answers, and none was on host ${host}`, {
      hint: 'bring the primary back, or restore on its host: `pgr pitr --host`',
    });
  }
  if (chosen.node.host === host) return chosen;
  throw stepFailure(
    'PreconditionFailed',
    `the sandbox is on host ${host}, the primary ${chosen.node.name} on ${chosen.node.host}`,
    { hint: `restore on the primary's host: \`pgr pitr --host ${chosen.node.host}\`` },
  );
}

/** Every node that could be asked is of this cluster. Throws IdentityMismatch naming the one that is not. */
export function requireSameCluster(nodes: readonly ProbedNode[], systemIdentifier: string): void {
  for (const probed of nodes) {
    if (probed.systemIdentifier === null || probed.systemIdentifier === systemIdentifier) continue;
    throw stepFailure(
      'IdentityMismatch',
      `node ${probed.node.name} has system identifier ${probed.systemIdentifier}, the sandbox ${systemIdentifier}`,
    );
  }
}
