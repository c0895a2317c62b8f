/** The plan of an undo: the kept data are there and are what the promotion kept, and production is what the promotion made. */
import type { NodeConfig } from '../../../config/schema.js';
import type { PlannedNode, PlanUndoInput, UndoPlan } from '../../../shared/contracts/promotion.js';
import { canonicalJson } from '../../../shared/canonical-json.js';
import { sha256Hex } from '../../../shared/sha256.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, nodeNamed } from '../../lib/environment-config.js';
import { stepFailure } from '../../lib/failure.js';
import { CLEAN_STATES, requireControlData, type ControlData } from '../control-data.js';
import { directoryState } from '../data-directory.js';
import { readLastCommitOf } from './last-commit.js';
import { requireStopped } from './node-place.js';
import { requireOwnArchive } from './own-archive.js';
import { probeNodes, type ProbedNode } from './probe-nodes.js';

export function createPlanUndo(deps: ActivityDeps) {
  return async function planUndo(input: PlanUndoInput): Promise<UndoPlan> {
    const { promotion } = input;
    const planned = promotion.plan.primary;
    const environment = environmentOf(deps.config, input.environment);
    const node = nodeNamed(environment, planned.name);
    await deps.snapshot(input.environment, planned.name).settleMoves();
    const kept = await requireKeptData(node, planned);
    const nodes = await probeNodes(deps, input.environment, environment, node.host);
    if (planned.replacement !== undefined) await requireOldArchive(deps, input.environment, nodes, planned);
    const current = requirePromoted(nodes, planned, promotion.timeline);
    const lostSince =
      planned.replacement === undefined
        ? ((await readLastCommitOf(deps, input.environment, node.binDir, current.timeline, kept.walSegmentBytes))
            ?.time ?? null)
        : await readStoppedAt(node);
    const body = {
      environment: input.environment,
      ofRun: input.ofRun,
      primary: { ...planned, state: current.state, timeline: kept.timeline },
      // Also those that were only stopped: they have to start again.
      standbys: promotion.plan.standbys,
      lostSince,
      warnings: warningsOf(kept, current),
    };
    return { ...body, hash: sha256Hex(canonicalJson(body)) };
  };
}

/** The archive of a cluster that is stopped is not the one of the config any more: its last checkpoint says until when it wrote. */
async function readStoppedAt({ binDir, dataDir }: NodeConfig): Promise<string | null> {
  const { checkpointTime } = await requireControlData(binDir, dataDir);
  const at = Date.parse(`${checkpointTime} UTC`);
  return Number.isNaN(at) ? null : new Date(at).toISOString();
}

/** The kept data of the primary, verified. Throws SafetyCopyMissing or IdentityMismatch. */
async function requireKeptData(node: NodeConfig, planned: PlannedNode): Promise<ControlData> {
  const { keptDataDir, systemIdentifier } = planned;
  const state = await directoryState(keptDataDir);
  if (state !== 'cluster') {
    throw stepFailure('SafetyCopyMissing', `the kept data ${keptDataDir} are ${state}`, {
      hint: 'the old cluster cannot come back; if it was needed, restore it with `pgr pitr`',
    });
  }
  await requireStopped(keptDataDir);
  const facts = await requireControlData(node.binDir, keptDataDir);
  if (facts.systemIdentifier === systemIdentifier) return facts;
  throw stepFailure('IdentityMismatch', `${keptDataDir} has system identifier ${facts.systemIdentifier}`);
}

/**
 * The old cluster goes on in its own archive, and the one that is set aside, which is another system, writes nothing into it meanwhile. Throws
 * PreconditionFailed.
 */
async function requireOldArchive(
  deps: ActivityDeps,
  environment: string,
  nodes: readonly ProbedNode[],
  { systemIdentifier, name }: PlannedNode,
): Promise<void> {
  const running = nodes.find((probed) => probed.state === 'running' && probed.role === 'primary');
  if (running !== undefined) {
    throw stepFailure('PreconditionFailed', `${running.node.name} runs: its WAL must not come into the old archive`, {
      hint: `nothing was touched; stop ${name} by hand, let backups in the config be what they were before the dump was promoted, restart the workers, then \`pgr retry\``,
    });
  }
  await requireOwnArchive(deps, environment, systemIdentifier);
}

/** Production is still the promoted cluster. Throws PreconditionFailed when it moved on to another node or another history. */
function requirePromoted(nodes: readonly ProbedNode[], planned: PlannedNode, timeline: number): ProbedNode {
  const elsewhere = nodes.find((probed) => probed.role === 'primary' && probed.node.name !== planned.name);
  if (elsewhere?.state === 'running') {
    throw stepFailure('PreconditionFailed', `${elsewhere.node.name} is the primary now, not ${planned.name}`, {
      hint: 'production was changed after that promotion; it cannot be undone any more',
    });
  }
  const current = nodes.find((probed) => probed.node.name === planned.name);
  const promoted = planned.replacement ?? planned.systemIdentifier;
  if (current?.systemIdentifier === promoted && current.timeline === timeline) return current;
  const found = `system identifier ${current?.systemIdentifier ?? 'none'}, timeline ${String(current?.timeline ?? 0)}`;
  throw stepFailure(
    'PreconditionFailed',
    `${planned.name} is not the cluster that was promoted (${found}; expected timeline ${String(timeline)})`,
    { hint: 'production was changed after that promotion; it cannot be undone any more' },
  );
}

function warningsOf(kept: ControlData, current: ProbedNode): string[] {
  const warnings = ['everything that was written since the promotion goes aside with it and is not merged'];
  if (!CLEAN_STATES.includes(kept.state)) {
    warnings.push(
      `the kept data were not shut down cleanly ("${kept.state}"): they recover from the crash when they start`,
    );
  }
  if (current.state === 'down') warnings.push(`${current.node.name} is down: ${current.note ?? 'no answer'}`);
  return warnings;
}
