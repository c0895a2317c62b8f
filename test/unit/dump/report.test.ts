/** Scenario: the report of a promoted dump. Verified: it never says that production was not replaced, and names what is lost, in both runs. */
import { followUps, keptCopies, lostLines } from '../../../cli/render/report-aftermath.js';
import type { DumpResult } from '../../../shared/contracts/dump.js';
import type { PromotionResult } from '../../../shared/contracts/promotion.js';
import type { RecordEntry } from '../../../shared/contracts/record.js';
import { dumpPlan, dumpPromotionPlan } from '../../support/stub-dump.js';
import { GOOD_EVIDENCE } from '../../support/workflow-fixtures.js';

const plan = dumpPlan({
  environment: 'shop',
  host: 'dallas',
  source: { kind: 'file', path: '/b/shop.dump' },
  globals: null,
  jobs: null,
  locale: null,
  quick: false,
});
const ref = { environment: 'shop', run: 'shop/restore-dump/1', runId: 'run-1', sandbox: 'run-1', host: 'dallas' };
const measured = { restoreSeconds: 1, rtoSeconds: 1, rpoSeconds: 1 };
const hosts = { primary: 'dallas', standby: 'chicago' };

const promotion: PromotionResult = {
  outcome: 'promoted',
  run: 'shop/change',
  runId: 'run-2',
  environment: 'shop',
  plan: dumpPromotionPlan('shop', ref, hosts, 'run-2'),
  recovery: null,
  dump: plan,
  timeline: 1,
  rebuilt: [],
  leftBehind: ['chicago'],
  measured: { writeOutageMs: 1, rtoSeconds: 1, rpoSeconds: 1 },
  lost: { until: '2026-11-21T03:42:29Z', seconds: 6_149, commits: 0, exact: false },
};
const restored: DumpResult = {
  outcome: 'promoted',
  ref,
  plan,
  sandbox: { dir: '/s', dataDir: '/s/data', port: 1, url: 'postgresql://h', expiresAt: '' },
  evidence: GOOD_EVIDENCE,
  counts: [],
  measured,
  commands: ['pgr undo shop/change'],
  promotion: { run: 'shop/change', runId: 'run-2' },
};

function entriesOf(runbook: string, run: string, result: unknown): RecordEntry[] {
  const of = { run, runId: 'run-1', at: '2026-11-21T04:00:00.000Z' };
  const started = { kind: 'run-started', runbook, environment: 'shop', requestedBy: 'ana', reason: '', input: {} };
  return [
    { ...of, seq: 1, body: started },
    { ...of, seq: 2, body: { kind: 'result', status: 'completed', result } },
  ] as unknown as RecordEntry[];
}

test.each([
  ['dump-promotion', 'shop/change', promotion],
  ['restore-dump', 'shop/restore-dump/1', restored],
])('the report of %s says that production is another cluster, and what is lost', (runbook, run, result) => {
  const entries = entriesOf(runbook, run, result);
  const lost = lostLines(entries, null).join('\n');
  expect(lost).toContain('Production is another cluster now');
  expect(lost).not.toContain('was not replaced');
  expect(lost).toContain('2026-11-21T02:00:00Z');
  expect(keptCopies(entries, null).join('\n')).not.toContain('dropped by nobody');
  const todo = followUps(entries, null).join('\n');
  expect(todo).toContain('Tell users');
  expect(todo).toContain('pgr undo');
});

test('the report of a promoted dump names the standby that was left behind', () => {
  const todo = followUps(entriesOf('dump-promotion', 'shop/change', promotion), null).join('\n');
  expect(todo).toContain('chicago');
  expect(todo).toContain('pgr rebuild-standby shop chicago --method full');
});
