/** Brings back the data that a rebuild replaced. What stands in their place is set aside, not deleted. */
import { canonicalJson } from '../shared/canonical-json.js';
import type { EnvironmentFacts } from '../shared/contracts/environment.js';
import type { RebuildStepInput, SafetyCopy } from '../shared/contracts/rebuild.js';
import type { UndoRebuildInput, UndoRebuildResult } from '../shared/contracts/runs.js';
import type { EvidenceCheck } from '../shared/contracts/sandbox.js';
import { UNDO_REBUILD, type UndoRebuildStep } from '../shared/runbooks/undo-rebuild.js';
import { undoRebuildPlanView, type UndoRebuildPlan } from '../shared/run-state-change.js';
import { sha256Hex } from '../shared/sha256.js';
import { interactiveOnHost, onHost, orchestrator } from './lib/activity-proxies.js';
import { conductRun, rejected } from './lib/conduct-run.js';
import { runFailure } from './lib/failures.js';
import { hostOf, startAgain } from './lib/nodes.js';
import { policyFor } from './lib/policy.js';
import { CHECK_REFUSALS } from './lib/refusals.js';
import { Run } from './lib/run.js';

type Checked = { facts: EnvironmentFacts; copy: SafetyCopy; evidence: EvidenceCheck[] };

export async function undoRebuild(input: UndoRebuildInput): Promise<UndoRebuildResult> {
  const run: Run<UndoRebuildStep> = new Run(UNDO_REBUILD, input, input.rebuild.plan.node.name);
  return conductRun(run, input, async () => {
    const checked = await run.step('check-undo', () => check(input), { refusals: CHECK_REFUSALS });
    const hash = show(run, input, checked);
    const policy = policyFor(checked.facts, 'undo');
    const decision = await run.step('approve-undo', async (attempt) => {
      // The node may have become the primary while nobody decided.
      const { evidence } = attempt > 1 ? await check(input) : checked;
      return run.openGate('approve-undo', { gate: 'undo', planHash: hash, evidence, policy });
    });
    if (decision === 'rejected') throw rejected('gate undo was rejected; nothing was changed', null);
    return putBack(run, input, checked.copy);
  });
}

/** Finds the copy on the node's host and looks at the node. Throws SafetyCopyMissing, or PreconditionFailed when the node is the primary. */
async function check({ environment, rebuild }: UndoRebuildInput): Promise<Checked> {
  const facts = await orchestrator.readEnvironment({ environment });
  const { node } = rebuild.plan;
  // A snapshot that was just made takes no space either, but it is verified.
  if (rebuild.safetyCopy.bytes === 0 && !rebuild.safetyCopy.verified) {
    throw runFailure('SafetyCopyMissing', `${node.name} held no cluster before ${rebuild.run}`, {
      hint: 'there is nothing to bring back',
      next: [`pgr rebuild-standby ${environment} ${node.name}`],
    });
  }
  const host = hostOf(facts, node.name);
  const [{ copies }, topology] = await Promise.all([
    interactiveOnHost(host).listSafetyCopies({ environment, node: node.name }),
    orchestrator.readTopology({ environment, probe: false }),
  ]);
  const copy = copies.find((one) => one.name === rebuild.safetyCopy.name && one.runId === rebuild.runId);
  if (copy === undefined) {
    throw runFailure('SafetyCopyMissing', `${rebuild.safetyCopy.name} of ${rebuild.run} is not on host ${host}`, {
      hint: 'nothing was touched; it was pruned, or put back already',
      next: [`pgr snapshots list ${environment}`],
    });
  }
  if (copy.systemIdentifier !== node.systemIdentifier) {
    throw runFailure(
      'IdentityMismatch',
      `${copy.name} is of system ${copy.systemIdentifier}, not ${node.systemIdentifier}`,
    );
  }
  const role = topology.nodes.find((one) => one.name === node.name)?.role ?? 'unknown';
  if (role === 'primary') {
    throw runFailure('PreconditionFailed', `${node.name} is the primary now: its data are the only newest ones`, {
      hint: 'nothing was touched; move the writes away first',
      next: [`pgr flip-db ${environment}`],
    });
  }
  const evidence = [
    row(
      'safety copy',
      copy.name,
      `${copy.provider}, ${copy.createdAt}, ${copy.verified ? 'verified' : 'not verified'}`,
      copy.verified,
    ),
    row('system identifier', node.systemIdentifier, copy.systemIdentifier, true),
    row(`${node.name} now`, 'not the primary', role, true),
  ];
  return { facts, copy, evidence };
}

function row(check: string, expected: string, actual: string, ok: boolean): EvidenceCheck {
  return { check, expected, actual, ok };
}

function show(run: Run<UndoRebuildStep>, { rebuild }: UndoRebuildInput, { copy, evidence }: Checked): string {
  const { name: node, host, dataDir, state, role } = rebuild.plan.node;
  const starts = state === 'running' && role === 'standby';
  const facts = { node, host, dataDir, starts, ofRun: rebuild.run };
  const hash = sha256Hex(canonicalJson({ ...facts, copy: copy.name }));
  const plan: UndoRebuildPlan = { ...facts, copy, hash };
  run.view.evidence = evidence;
  run.setPlan(undoRebuildPlanView(plan), plan);
  return hash;
}

async function putBack(
  run: Run<UndoRebuildStep>,
  { environment, rebuild }: UndoRebuildInput,
  safetyCopy: SafetyCopy,
): Promise<UndoRebuildResult> {
  const { plan, runId } = rebuild;
  const host = onHost(plan.node.host);
  // The copy carries the name of the rebuild, not of this run.
  const work: RebuildStepInput = { environment, run: rebuild.run, runId, plan };
  let standsAsBefore = true;
  await run.step('stop-standby', () => host.stopStandby(work), {
    undo: {
      step: 'start-standby-again',
      title: 'Start the standby again',
      // The old data may be those of a primary that died: they are started only when they ran as a standby.
      work: () => startAgain(work, standsAsBefore ? { ...plan.node, state: 'running', role: 'standby' } : plan.node),
    },
  });
  const { setAside } = await run.step('return-safety-copy', () => {
    standsAsBefore = false;
    return host.returnSafetyCopy(work);
  });
  const started = await run.step('start-standby', (): Promise<{ outcome: string }> => startAgain(work, plan.node), {
    whenSkipped: () => ({ outcome: 'left-down' }),
  });
  const result = { outcome: 'undone' as const, environment, node: plan.node.name, ofRun: rebuild.run, safetyCopy };
  return run.step('report', () => Promise.resolve({ ...result, setAside, started: started.outcome !== 'left-down' }));
}
