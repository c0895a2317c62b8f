/** Removes safety copies by age and count, after approval: they are production data and gone for good afterwards. */
import { workflowInfo } from '@temporalio/workflow';

import { canonicalJson } from '../shared/canonical-json.js';
import type { PruneSnapshotsInput, PruneSnapshotsResult } from '../shared/contracts/runs.js';
import type { EvidenceCheck } from '../shared/contracts/sandbox.js';
import { PRUNE_SNAPSHOTS, type PruneSnapshotsStep } from '../shared/runbooks/prune-snapshots.js';
import { prunePlanView } from '../shared/run-state-change.js';
import { choosePrunable, type PruneChoice } from '../shared/safety-copies.js';
import { sha256Hex } from '../shared/sha256.js';
import { onHost } from './lib/activity-proxies.js';
import { conductRun, rejected } from './lib/conduct-run.js';
import { policyFor } from './lib/policy.js';
import { passOver } from './lib/pass-over.js';
import { CHECK_REFUSALS } from './lib/refusals.js';
import { Run } from './lib/run.js';
import { readSafetyCopies } from './lib/safety-copies.js';

type PruneRun = Run<PruneSnapshotsStep>;
type Chosen = Awaited<ReturnType<typeof readSafetyCopies>> & { choice: PruneChoice };

export async function pruneSnapshots(input: PruneSnapshotsInput): Promise<PruneSnapshotsResult> {
  const run: PruneRun = new Run(PRUNE_SNAPSHOTS, input);
  return conductRun(run, input, async () => {
    const chosen = await run.step('list-copies', () => choose(input), { refusals: CHECK_REFUSALS });
    const { choice, unanswered, facts } = chosen;
    const hash = sha256Hex(canonicalJson(choice.remove.map(({ host, name }) => ({ host, name }))));
    run.view.evidence = evidenceOf(choice);
    const plan = { ...choice, unanswered, hash };
    run.setPlan(prunePlanView(plan), plan);
    const kept = choice.keep.map(({ copy, why }) => ({ name: copy.name, why }));
    const result = { environment: input.environment, kept, unanswered };
    if (choice.remove.length === 0) {
      passOver(run, 'approve-prune', 'nothing is to be removed');
      return { ...result, outcome: 'nothing-to-prune', removed: [] };
    }
    const policy = policyFor(facts, 'prune');
    const decision = await run.step('approve-prune', () =>
      run.openGate('approve-prune', { gate: 'prune', planHash: hash, evidence: evidenceOf(choice), policy }),
    );
    if (decision === 'rejected') throw rejected('gate prune was rejected; nothing was removed', null);
    const done = await run.step('remove-copies', () => remove(input, choice));
    return { ...result, outcome: 'pruned', removed: done.removed, kept: [...kept, ...done.kept] };
  });
}

async function choose(input: PruneSnapshotsInput): Promise<Chosen> {
  const read = await readSafetyCopies(input.environment);
  return { ...read, choice: choosePrunable(read.copies, input, input.requestedAt) };
}

function evidenceOf({ remove, keep }: PruneChoice): EvidenceCheck[] {
  const nodes = [...new Set(remove.map((copy) => copy.node))];
  return nodes.map((node) => {
    const newest = keep.find(({ copy, why }) => copy.node === node && why.startsWith('the newest verified'))?.copy;
    return {
      check: `a verified copy of ${node} stays`,
      expected: 'yes',
      actual: newest === undefined ? 'no' : `${newest.name}, ${newest.createdAt}`,
      ok: newest !== undefined,
    };
  });
}

/** Host by host; each checks again that a copy is ours and not the newest verified one. */
async function remove(
  { environment }: PruneSnapshotsInput,
  { remove: copies }: PruneChoice,
): Promise<{ removed: string[]; kept: { name: string; why: string }[] }> {
  const removed: string[] = [];
  const kept: { name: string; why: string }[] = [];
  for (const host of [...new Set(copies.map((copy) => copy.host))]) {
    const names = copies.filter((copy) => copy.host === host).map((copy) => copy.name);
    const { workflowId: run } = workflowInfo();
    const done = await onHost(host).pruneSafetyCopies({ environment, host, names, run });
    removed.push(...done.removed);
    kept.push(...done.kept);
  }
  return { removed, kept };
}
