/** Who may be rebuilt from whom. Each refusal names the fact; nothing is changed by any of them. */
import { stepFailure } from '../../lib/failure.js';
import type { NodeRuntime } from '../../lib/runtime.js';
import type { ProbedNode } from '../promotion/probe-nodes.js';

export function refuse(message: string, hint: string): Error {
  return stepFailure('PreconditionFailed', message, { hint: `nothing was touched; ${hint}, then \`pgr retry\`` });
}

/**
 * The running primary that is not this node, of the same cluster. Throws PreconditionFailed when there is none (this node may then be the only whole
 * copy) or more than one, IdentityMismatch for another cluster or when this node is the primary itself.
 */
export function choosePeer(
  nodes: readonly ProbedNode[],
  own: ProbedNode,
): { peer: ProbedNode; systemIdentifier: string } {
  const { name } = own.node;
  if (own.state === 'running' && own.role === 'primary') {
    throw stepFailure('IdentityMismatch', `${name} accepts writes: it is not a standby, and it was not touched`);
  }
  const primaries = nodes.filter((node) => node !== own && node.state === 'running' && node.role === 'primary');
  const [peer, second] = primaries;
  if (peer === undefined) {
    const others = nodes.filter((node) => node !== own).map((node) => `${node.node.name} is ${stateOf(node)}`);
    throw refuse(
      `no other node accepts writes (${others.length === 0 ? 'there is none' : others.join(', ')}): ${name} may be the only whole copy`,
      'bring the primary up first',
    );
  }
  if (second !== undefined) {
    throw refuse(`${primaries.map((node) => node.node.name).join(' and ')} both accept writes`, 'run `pgr topology`');
  }
  const { systemIdentifier } = peer;
  if (systemIdentifier === null)
    throw refuse(`${peer.node.name} did not say which cluster it is`, 'run `pgr topology`');
  if (own.systemIdentifier !== null && own.systemIdentifier !== systemIdentifier) {
    throw stepFailure(
      'IdentityMismatch',
      `${name} has system identifier ${own.systemIdentifier}, ${peer.node.name} has ${systemIdentifier}`,
    );
  }
  return { peer, systemIdentifier };
}

function stateOf(node: ProbedNode): string {
  return node.state === 'down' ? `down (${node.note ?? 'no answer'})` : `a ${node.role}`;
}

/** What answers at the node's address is what its runtime runs: else a foreign server would be stopped, or missed. */
export async function requireOwnServer(runtime: NodeRuntime, own: ProbedNode): Promise<void> {
  const seen = await runtime.status();
  if (seen.state === 'unknown') throw refuse(`cannot tell whether ${own.node.name} runs: ${seen.why}`, 'find out');
  if (seen.state === own.state || (seen.state === 'stopped' && own.state === 'down')) return;
  const answers = own.state === 'running' ? 'a server answers at its address' : 'nobody answers at its address';
  const runs =
    seen.state === 'running' ? `its server runs (pid ${String(seen.pid)})` : `its server is stopped (${seen.why})`;
  throw refuse(`${own.node.name}: ${answers}, but ${runs}`, 'see what listens there');
}
