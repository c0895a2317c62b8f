/**
 * Stops a node and proves that it accepts nothing any more (invariant 4): no postmaster, no other postgres process of its data directory, and
 * nobody answers at its address. Needs: the cluster that the plan named, or no cluster there at all. May be repeated at any time.
 */
import { connect } from 'node:net';

import type { FenceNodeResult, NodeStepInput } from '../../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { connectNode } from '../connection.js';
import { directoryState } from '../data-directory.js';
import { nodePlace, requireEither, type NodePlace } from './node-place.js';

/** The shutdown checkpoint of a large server and the last segments of a slow archive; sessions are cut at once. */
const STOP_TIMEOUT_MS = 300_000;
/** A checkpoint before the stop keeps the shutdown short; when it cannot be had, the shutdown makes its own. */
const CHECKPOINT_TIMEOUT_MS = 120_000;
const PROBE_TIMEOUT_MS = 2_000;

export function createFenceNode(deps: ActivityDeps) {
  return async function fenceNode(input: NodeStepInput): Promise<FenceNodeResult> {
    const place = nodePlace(deps, input);
    const present = await directoryState(place.dataDir);
    if (present === 'cluster') {
      await requireEither(place.node.binDir, place.dataDir, input.expect);
    }
    const runtime = deps.runtime(input.environment, input.node);
    const before = await runtime.status();
    if (before.state === 'running') await checkpoint(deps, input);
    faultPoint('fence-node:before-stop');
    const { outcome, proof } = await runtime.stop(STOP_TIMEOUT_MS);
    const silence = await proveSilence(place);
    faultPoint('fence-node:after-stop');
    return { outcome, proof: [proof, silence, await kindOfEnd(place, present, input.expect)] };
  };
}

async function checkpoint(deps: ActivityDeps, input: NodeStepInput): Promise<void> {
  const options = { statementTimeoutMs: CHECKPOINT_TIMEOUT_MS };
  try {
    await connectNode(deps, input.environment, input.node, options, (client) => client.query('checkpoint'));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    deps.log.warn({ node: input.node, why }, 'no checkpoint before the stop');
  }
}

/** Nobody may answer at the node's address: a second server there would go on accepting writes. */
async function proveSilence(place: NodePlace): Promise<string> {
  const { address, port, name } = place.node;
  const answer = await probePort(address, port);
  if (answer !== 'answers') return `${address}:${String(port)} does not accept connections (${answer})`;
  throw stepFailure('FenceFailed', `${name} is stopped, but something still answers at ${address}:${String(port)}`, {
    hint: 'find what listens there (another server, a proxy): it may accept writes',
  });
}

/** `answers`, or why it does not. */
function probePort(host: string, port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const finish = (answer: string): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(PROBE_TIMEOUT_MS, () => {
      finish('no answer in time');
    });
    socket.once('connect', () => {
      finish('answers');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      finish(error.code ?? error.message);
    });
  });
}

async function kindOfEnd(place: NodePlace, present: string, expect: NodeStepInput['expect']): Promise<string> {
  if (present !== 'cluster') return `${place.dataDir} is ${present}`;
  const facts = await requireEither(place.node.binDir, place.dataDir, expect);
  return `cluster state: ${facts.state}`;
}
