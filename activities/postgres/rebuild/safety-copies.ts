/** Which safety copies a node has, and their removal for good. */
import type {
  ListSafetyCopiesResult,
  PruneSafetyCopiesInput,
  PruneSafetyCopiesResult,
  SafetyCopy,
} from '../../../shared/contracts/rebuild.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, nodeNamed } from '../../lib/environment-config.js';
import { faultPoint } from '../../lib/fault-points.js';
import { requireThisHost } from '../promotion/node-place.js';
import { unfinishedRuns } from './rebuild-state.js';

export function createListSafetyCopies(deps: ActivityDeps) {
  return async function listSafetyCopies(input: {
    environment: string;
    node: string;
  }): Promise<ListSafetyCopiesResult> {
    requireThisHost(nodeNamed(environmentOf(deps.config, input.environment), input.node));
    return { copies: await deps.snapshot(input.environment, input.node).list() };
  };
}

/**
 * Removes the named copies of the nodes on this host. Whatever is asked for, the newest verified copy of a node stays, and every copy of a rebuild
 * that is not over. A retry finds the removed ones gone.
 */
export function createPruneSafetyCopies(deps: ActivityDeps) {
  return async function pruneSafetyCopies(input: PruneSafetyCopiesInput): Promise<PruneSafetyCopiesResult> {
    const { environment, host } = input;
    const nodes = environmentOf(deps.config, environment).nodes.filter((node) => node.host === host);
    const result: PruneSafetyCopiesResult = { removed: [], kept: [] };
    const left = new Set(input.names);
    for (const node of nodes) {
      requireThisHost(node);
      const provider = deps.snapshot(environment, node.name);
      const copies = await provider.list();
      const unfinished = await unfinishedRuns(deps.config.stateDir, environment, node.name);
      for (const copy of copies.filter(({ name }) => left.has(name))) {
        left.delete(copy.name);
        const why = whyItStays(copy, copies, unfinished);
        if (why !== null) {
          result.kept.push({ name: copy.name, why });
          continue;
        }
        await provider.remove(copy);
        faultPoint('prune:removed');
        result.removed.push(copy.name);
      }
    }
    for (const name of left) result.kept.push({ name, why: 'there is no such copy on this host (any more)' });
    return result;
  };
}

/** Null when it may go. Pure. */
export function whyItStays(
  copy: SafetyCopy,
  copies: readonly SafetyCopy[],
  unfinished: ReadonlySet<string>,
): string | null {
  if (copy.runId === 'unknown') return 'nobody can tell whose it is: its note is damaged';
  if (unfinished.has(copy.runId)) return `run ${copy.run} is not over: it may need it`;
  const newest = copies.findLast((candidate) => candidate.verified);
  if (newest === undefined) return 'no copy of this node is verified';
  return newest.name === copy.name ? 'it is the newest verified copy of this node' : null;
}
