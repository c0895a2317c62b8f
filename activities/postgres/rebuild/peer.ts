/** The node that a standby is rebuilt from, and proof that it is safe to touch the standby: it is not the primary, and not the only whole copy. */
import type { ActivityDeps } from '../../lib/deps.js';
import { isFailureOf, stepFailure } from '../../lib/failure.js';
import type { PrimaryPosition } from '../standby/streaming.js';
import { readPrimaryPosition, readStreaming } from '../standby/streaming.js';

type Who = { environment: string; node: string; from: string; systemIdentifier: string };

const ROUTER_TIMEOUT_MS = 3_000;

/** The peer answers, accepts writes and is of the same cluster. Throws DatabaseUnavailable, IdentityMismatch or PreconditionFailed. */
export async function requirePeer(deps: ActivityDeps, who: Who): Promise<PrimaryPosition> {
  const primary = await readPrimaryPosition(deps, who.environment, who.from);
  if (primary.systemIdentifier !== who.systemIdentifier) {
    throw stepFailure(
      'IdentityMismatch',
      `${who.from} has system identifier ${primary.systemIdentifier}, ${who.node} has ${who.systemIdentifier}`,
    );
  }
  if (!primary.inRecovery) return primary;
  throw stepFailure('PreconditionFailed', `${who.from} is in recovery: a standby is rebuilt from its primary`, {
    hint: 'run `pgr topology` to see who the primary is; nothing was touched',
  });
}

/** Neither the server itself nor a router calls this node the primary. Throws IdentityMismatch. */
export async function refusePrimary(deps: ActivityDeps, environment: string, node: string): Promise<string[]> {
  const seen = await readStreaming(deps, environment, node);
  if (seen?.inRecovery === false) {
    throw stepFailure('IdentityMismatch', `${node} accepts writes: it is not a standby, and it was not touched`, {
      hint: 'find out which node is production (`pgr topology`); stop the other one by hand if it must be replaced',
    });
  }
  const { routed, warnings } = await routersOf(deps, environment, node);
  if (routed.length === 0) return warnings;
  throw stepFailure('IdentityMismatch', `${routed.join(', ')} sends writes to ${node}: it was not touched`, {
    hint: 'run `pgr topology`; a node that routers call primary is not rebuilt',
  });
}

/** Routers that send writes to the node. A multi-host address routes nothing: clients ask the servers themselves. */
async function routersOf(
  deps: ActivityDeps,
  environment: string,
  node: string,
): Promise<{ routed: string[]; warnings: string[] }> {
  const routing = deps.routing(environment);
  if (routing.kind === 'multihost') return { routed: [], warnings: [] };
  try {
    const session = await routing.open(ROUTER_TIMEOUT_MS);
    try {
      const servers = await session.servers();
      const routed = servers.filter((server) => server.node === node && server.state === 'up');
      return { routed: routed.map((server) => server.instance), warnings: [] };
    } finally {
      await session.close();
    }
  } catch (error) {
    if (isFailureOf(error, 'Bug')) throw error;
    const why = error instanceof Error ? error.message : String(error);
    return { routed: [], warnings: [`${routing.label} could not be asked whether it sends writes to ${node}: ${why}`] };
  }
}
