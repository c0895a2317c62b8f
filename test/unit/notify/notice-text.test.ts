import type { NoticeFacts } from '../../../shared/contracts/notices.js';
import { gateNotice, parkedNotice } from '../../../shared/notice-facts.js';
import { isOvertaken, nextDelaySeconds } from '../../../shared/notice-queue.js';
import { noticeText, publicText } from '../../../shared/notice-text.js';
import { newRunView } from '../../../shared/run-state.js';
import { PROMOTE } from '../../../shared/runbooks/promote.js';
import { ATTENTION, GATE, notice, SUBJECT } from '../../support/notices.js';

const said = (facts: NoticeFacts) => noticeText(SUBJECT, notice(facts));

test('an open gate says what is decided, by which evidence, and exactly how', () => {
  const text = said(GATE);
  expect(text.title).toBe('promote of production waits for 2 approvals at gate promote, code K7QF2M');
  expect(text.lines).toEqual([
    'asked by ana: orders were deleted',
    'target: time 2026-11-21T03:42:00.000000Z',
    'last kept: transaction 760 at 2026-11-21T03:41:59.000000Z (0/5A0001C8)',
    'first dropped: transaction 761 at 2026-11-21T03:42:01.000000Z (0/5A000228)',
    'plan abcdef012345',
    'evidence: 1 of 2 good',
    '✗ NOT OK there are customers',
    '✓ reached T',
    'closes 2026-11-22T03:43:00Z',
  ]);
  expect(text.commands).toEqual([
    'pgr show production/change',
    'pgr approve production/change promote --code K7QF2M',
    'pgr reject production/change promote --code K7QF2M',
  ]);
});

test('what a check found is not in a notice: it may be a row of data', () => {
  const gate = {
    name: 'promote',
    code: 'K7QF2M',
    required: 1,
    openedAt: '',
    expiresAt: '2026-11-22T03:43:00.000Z',
    expired: false,
    decisions: [],
    evidence: [
      { check: 'newest customer', expected: 'jane@example.com', actual: 'joe@example.com', ok: false, note: 'joe' },
    ],
  };
  const facts = gateNotice(gate, null);
  expect(JSON.stringify([facts, said(facts)])).not.toMatch(/example\.com|joe/);
  expect(JSON.stringify(facts)).toContain('newest customer');
});

test('a failed step says its type and what to run; the message of the failure stays in the run', () => {
  const view = newRunView(
    PROMOTE,
    { ...SUBJECT, requestedAt: '' },
    SUBJECT.run,
    SUBJECT.runId,
    '2026-11-21T03:42:00.000Z',
  );
  view.failure = {
    step: 'swap-in',
    code: 'CommandFailed',
    message: 'Key (email)=(joe@example.com) already exists',
    hint: 'joe',
    choices: ['retry', 'abort'],
  };
  const text = said(parkedNotice(view, 'swap-in', 'CommandFailed', ['retry', 'abort']));
  expect(JSON.stringify(text)).not.toContain('joe');
  expect(text.title).toBe('promote of production needs attention: step swap-in failed with CommandFailed');
  expect(text.commands).toEqual([
    'pgr show production/change',
    'pgr retry production/change',
    'pgr abort production/change --reason "WHY"',
  ]);
  expect(text.urgency).toBe('page');
});

test.each<[NoticeFacts, string, string]>([
  [{ event: 'run-started' }, 'promote of production started', 'notice'],
  [ATTENTION, 'promote of production needs attention: step swap-in failed with SpaceMissing', 'page'],
  [
    { event: 'gate-reminder', gate: 'promote', code: 'K7QF2M', waitedSeconds: 1_800 },
    'promote of production has been waiting for approval at gate promote for 30 min',
    'warning',
  ],
  [
    { event: 'gate-closed', gate: 'promote', outcome: 'approved', by: ['ben'] },
    'promote of production: gate promote was approved',
    'notice',
  ],
  [{ event: 'production-down', why: 'data are replaced' }, 'production is down: nobody can write', 'page'],
  [
    {
      event: 'still-down',
      since: '2026-11-21T03:00:00.000Z',
      seconds: 900,
      step: 'swap-in',
      title: 'Swap in',
      position: '7 of 14',
    },
    'production has been down for 15 min',
    'page',
  ],
  [
    { event: 'service-restored', how: 'recovered', writeOutageMs: 61_000, node: 'dallas' },
    'production takes writes again',
    'good',
  ],
  [
    { event: 'service-restored', how: 'put-back', writeOutageMs: null },
    'production is as it was before: the change was put back',
    'good',
  ],
  [
    {
      event: 'ended',
      status: 'completed',
      seconds: 300,
      measured: { rtoSeconds: 240, rpoSeconds: 12 },
      failure: null,
      isDown: false,
    },
    'promote of production completed after 5 min',
    'good',
  ],
  [
    { event: 'ended', status: 'aborted', seconds: 300, measured: {}, failure: null, isDown: true },
    'promote of production aborted after 5 min',
    'page',
  ],
  [
    { event: 'drill-failed', kind: 'pitr', step: 'verify-sandbox', code: 'EvidenceFailed', lastGoodAt: null },
    'restore drill of production FAILED: the backups are not proven',
    'page',
  ],
  [
    { event: 'alarm-raised', alarm: 'base-age', summary: 'no base for 31 h', severity: 'warning' },
    'alarm base-age of production: no base for 31 h',
    'warning',
  ],
  [
    { event: 'alarm-cleared', alarm: 'base-age', summary: 'a base of 1 h', seconds: 3_600 },
    'alarm base-age of production is over after 1 h',
    'good',
  ],
])('%j', (facts, title, urgency) => {
  expect(said(facts)).toMatchObject({ title, urgency });
});

test('the end of a run says RTO and RPO, and whether production is still down', () => {
  const ended: NoticeFacts = {
    event: 'ended',
    status: 'failed',
    seconds: 300,
    measured: { rtoSeconds: 240, rpoSeconds: 12 },
    failure: { step: 'swap-in', code: 'Bug' },
    isDown: true,
  };
  expect(said(ended).lines).toEqual([
    'production is not known to take writes: look at it now',
    'step swap-in: Bug',
    'RTO 4 min',
    'RPO 12 s',
  ]);
});

test('the public hears of the service and of nothing inside', () => {
  const down = publicText(notice({ event: 'production-down', why: 'data are replaced' }), 'The shop');
  expect(down).toContain('The shop is not available');
  expect(down).not.toMatch(/data are replaced|ana|dallas|production\/change/);
  expect(publicText(notice(ATTENTION), 'The shop')).toBeNull();
});

test('a reason over many lines becomes one, and a long one is cut', () => {
  const text = noticeText(
    { ...SUBJECT, reason: `a\n<!channel>\n${'x'.repeat(1_000)}` },
    notice({ event: 'run-started' }),
  );
  expect(text.lines[0]).toMatch(/^asked by ana: a <!channel> x+…$/);
  expect(text.lines[0]?.length).toBeLessThan(330);
});

describe('the queue', () => {
  test('waits 2, 4, 8 … 300 seconds, or what the service asks for', () => {
    expect([1, 2, 3, 8, 9, 20].map((attempt) => nextDelaySeconds(attempt, null))).toEqual([2, 4, 8, 256, 300, 300]);
    expect(nextDelaySeconds(1, 120)).toBe(120);
    expect(nextDelaySeconds(9, 1)).toBe(300);
  });
  test('reminders that waited behind a dead service are left out, news never', () => {
    const reminder = (gate: string) => notice({ event: 'gate-reminder', gate, code: 'X', waitedSeconds: 1 });
    const closed = notice({ event: 'gate-closed', gate: 'a', outcome: 'approved', by: [] });
    expect(isOvertaken(reminder('a'), [reminder('a')])).toBe(true);
    expect(isOvertaken(reminder('a'), [reminder('b')])).toBe(false);
    expect(isOvertaken(reminder('a'), [closed])).toBe(true);
    const still = notice({ event: 'still-down', since: '', seconds: 1, step: '', title: '', position: '' });
    expect(isOvertaken(still, [notice({ event: 'service-restored', how: 'recovered', writeOutageMs: 1 })])).toBe(true);
    expect(isOvertaken(notice(ATTENTION), [notice(ATTENTION), still])).toBe(false);
  });
});
