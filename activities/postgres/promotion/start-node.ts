/**
 * An ordinary start of a node with its own configuration, then the proof of what came up: identity, role, timeline, and that nothing of a
 * sandbox or of a recovery is left in its settings. Refuses a cluster whose recovery was not ended: it would replay past the target.
 */
import path from 'node:path';

import type { NodeStepInput, StartNodeResult } from '../../../shared/contracts/promotion.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { connectNode } from '../connection.js';
import { pathExists } from '../data-directory.js';
import { receivesWal } from '../../lib/archive-duty.js';
import { nodePlace, requireCluster, type NodePlace } from './node-place.js';
import { archivesItself, leftovers, primaryProblems, readServerFacts } from './start-checks.js';

const FAULT_AFTER_START_BEFORE_REPLY = 'start-node:after-start';

export function createStartNode(deps: ActivityDeps) {
  return async function startNode(input: NodeStepInput): Promise<StartNodeResult> {
    const place = nodePlace(deps, input);
    const runtime = deps.runtime(input.environment, input.node);
    if ((await runtime.status()).state !== 'running') await requireStartable(place, input.expect.systemIdentifier);
    const { outcome, pid } = await runtime.start();
    faultPoint(FAULT_AFTER_START_BEFORE_REPLY);
    const facts = await connectNode(deps, input.environment, input.node, {}, readServerFacts);
    const problems = facts.inRecovery
      ? leftovers(facts.settings)
      : primaryProblems(facts, !archivesItself(facts) && (await isStreamed(deps, input.environment)));
    if (facts.systemIdentifier !== input.expect.systemIdentifier) {
      throw stepFailure(
        'IdentityMismatch',
        `the server at the address of ${input.node} has system identifier ${facts.systemIdentifier}, expected ${input.expect.systemIdentifier}`,
      );
    }
    if (problems.length > 0) {
      throw stepFailure('PreconditionFailed', `${input.node} runs, but not as production: ${problems.join('; ')}`, {
        hint: 'mend its configuration and restart it, then `pgr retry`',
      });
    }
    return { outcome, role: facts.inRecovery ? 'standby' : 'primary', timeline: facts.timeline, pid };
  };
}

async function isStreamed(deps: Pick<ActivityDeps, 'store'>, environment: string): Promise<boolean> {
  return receivesWal(await deps.store(environment));
}

async function requireStartable(place: NodePlace, systemIdentifier: string): Promise<void> {
  const facts = await requireCluster(place.node.binDir, place.dataDir, systemIdentifier);
  const has = (name: string): Promise<boolean> => pathExists(path.join(place.dataDir, name));
  if (await has('standby.signal')) return;
  if (
    !(await has('recovery.signal')) &&
    !facts.state.includes('archive recovery') &&
    !facts.state.includes('in recovery')
  ) {
    return;
  }
  throw stepFailure(
    'PreconditionFailed',
    `${place.dataDir} is still in recovery (state "${facts.state}"): started as it is, it would replay past the target`,
    { hint: 'end its recovery first (step end-recovery): `pgr retry`' },
  );
}
