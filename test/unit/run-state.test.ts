import type { DecisionOutcome } from '../../shared/contracts/decisions.js';
import type { RunView } from '../../shared/contracts/status.js';
import { PITR } from '../../shared/runbooks/pitr.js';
import { formatBytes, formatSeconds, promotionPlanView, recoveryPlanView } from '../../shared/run-state-plan.js';
import { runDetails } from '../../shared/run-state-details.js';
import {
  beginStep,
  closeGate,
  currentStep,
  endStep,
  newRunView,
  noteDecision,
  openGate,
  positionOf,
} from '../../shared/run-state.js';
import { promotionPlan, recoveryPlan } from '../support/workflow-fixtures.js';

const AT = '2026-11-21T03:45:00.000Z';
const view = (more: Partial<RunView> = {}): RunView => ({
  ...newRunView(
    PITR,
    { environment: 'lab', requestedBy: 'ana', reason: '<img src=x onerror=alert(1)>', requestedAt: AT },
    'lab/pitr/1',
    'r1',
    AT,
  ),
  ...more,
});

const decision = (more: Partial<DecisionOutcome> = {}): DecisionOutcome => ({
  gate: 'promote',
  decision: 'approve',
  by: 'ben',
  identity: 'declared',
  counted: false,
  why: 'wrong code',
  approvals: 0,
  required: 1,
  ...more,
});

const gate = {
  name: 'promote',
  code: 'K7QF2M',
  required: 2,
  openedAt: AT,
  expiresAt: AT,
  expired: false,
  decisions: [],
  evidence: [{ check: 'target-reached', expected: '0/1', actual: '0/1 | <b>', ok: true }],
};

test('the current step is the one that runs, else the last that ended', () => {
  const run = view();
  expect(currentStep(run)?.id).toBe('check-target');
  beginStep(run.steps[0]!, AT);
  endStep(run.steps[0]!, 'done', AT);
  expect(currentStep(run)?.id).toBe('check-target');
  beginStep(run.steps[2]!, AT);
  expect(currentStep(run)?.id).toBe('prepare-sandbox');
  expect(positionOf(run, 'prepare-sandbox')).toBe('3 of 9');
  expect(positionOf(run, 'start-old-cluster')).toBeNull();
});

test('decisions stay with the open gate, then with the run; refused ones cannot flood the status', () => {
  const run = view();
  openGate(run, structuredClone(gate));
  noteDecision(run, decision({ counted: true, why: null }));
  for (let index = 0; index < 200; index += 1) noteDecision(run, decision({ by: `bot${String(index)}` }));
  expect(run.gate?.decisions.length).toBe(50);
  expect(run.gate?.decisions[0]).toMatchObject({ by: 'ben', counted: true });
  closeGate(run);
  expect(run.gate).toBeNull();
  expect(run.decisions).toHaveLength(50);
});

test('the page says exactly how to approve, and shows text of strangers as text', () => {
  const run = view({
    status: 'waiting-approval',
    gate: structuredClone(gate),
    plan: recoveryPlanView(recoveryPlan('lab', 'h1')),
  });
  const page = runDetails(run, PITR.title);
  expect(page).toContain('More Actions → Send a Signal → `approve`');
  const pasted: unknown = JSON.parse(/```json\n([^`]+)```/.exec(page)?.[1] ?? '');
  expect(pasted).toEqual({ gate: 'promote', code: 'K7QF2M', by: 'YOUR NAME', comment: '' });
  expect(page).toContain('pgr approve lab/pitr/1 promote --code K7QF2M');
  expect(page).toContain('0 of 2 approvals');
  expect(page).toContain('✓ **target-reached**: expected 0&#47;1; found 0&#47;1 \\| &#60;b&#62;');
  expect(page).not.toContain('<img');
  expect(page.length).toBeLessThan(12_000);
});

test('a refused decision stands at the gate while it is open, and under Decisions afterwards', () => {
  const run = view({ status: 'waiting-approval', gate: structuredClone(gate) });
  noteDecision(run, decision());
  const line = '- ben: approve at promote, **refused**: wrong code';
  expect(runDetails(run, PITR.title).indexOf(line)).toBeLessThan(runDetails(run, PITR.title).indexOf('```json'));
  expect(runDetails(run, PITR.title)).not.toContain('### Decisions');
  closeGate(run);
  expect(runDetails(run, PITR.title)).toContain(`### Decisions\n\n${line}`);
});

test('the page of a parked run gives the commands for each choice', () => {
  const failure = {
    step: 'replay-wal',
    code: 'WalCorrupt',
    message: 'bad',
    hint: 'mend',
    choices: ['retry', 'abort'] as const,
  };
  const page = runDetails(
    view({ status: 'needs-attention', failure: { ...failure, choices: ['retry', 'abort'] } }),
    PITR.title,
  );
  expect(page).toContain('- retry: `pgr retry lab/pitr/1`\n- abort: `pgr abort lab/pitr/1 --reason "WHY"`');
  expect(page).not.toContain('pgr skip');
});

test('the page stays short whatever the plan and the evidence hold', () => {
  const evidence = Array.from({ length: 5_000 }, () => ({ ...gate.evidence[0]!, actual: 'y'.repeat(5_000) }));
  const plan = { hash: 'h', summary: Array.from({ length: 500 }, () => 'x'.repeat(5_000)) };
  const page = runDetails(view({ status: 'waiting-approval', gate: { ...gate, evidence }, plan }), PITR.title);
  expect(page.length).toBeLessThan(60_000);
  expect(page).toContain('and 4960 more');
});

test('a plan says what is kept, what is dropped and what is given up', () => {
  const plan = recoveryPlan('lab', 'h1', { warnings: ['track_commit_timestamp is off'] });
  const lines = recoveryPlanView(plan).summary.join('\n');
  expect(lines).toContain('last kept: transaction 741 at 2026-11-21T03:41:59.000000Z (0/5A0001C8)');
  expect(lines).toContain('first dropped: transaction 742');
  expect(lines).toContain('given up after it: 12 commits in 30 s, until 2026-11-21T03:42:29.000000Z');
  expect(lines).toContain('warning: track_commit_timestamp is off');
  const ref = { environment: 'lab', run: 'lab/pitr/1', runId: 'r1', sandbox: 'r1', host: 'h1' };
  const promotion = promotionPlanView(promotionPlan('lab', ref, { primary: 'h1', standby: 'h2' }, 'r2'), plan);
  expect(promotion.hash).toBe('promotion-hash-1');
  expect(promotion.summary.join('\n')).toContain('rebuild standby chicago on h2');
});

test('sizes and durations read as people say them', () => {
  expect([0, 999, 1_500, 2_500_000_000].map(formatBytes)).toEqual(['0 B', '999 B', '1.5 kB', '2.5 GB']);
  expect([5, 125, 11_040, 90_000].map(formatSeconds)).toEqual(['5 s', '2 min 5 s', '3 h 4 min', '1 d 1 h']);
});
