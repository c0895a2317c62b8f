import type { GatePolicy } from '../../shared/contracts/environment.js';
import {
  applyDecision,
  normaliseName,
  readCommand,
  readDecision,
  requiredApprovals,
  whyRefused,
  type GateState,
} from '../../shared/gate-policy.js';

const policy = (more: Partial<GatePolicy> = {}): GatePolicy => ({
  required: 1,
  from: [],
  notRequester: false,
  expiresInSeconds: 60,
  remindEverySeconds: 0,
  identity: 'declared',
  ...more,
});

const gate = (more: Partial<GateState> = {}): GateState => ({
  name: 'promote',
  phase: 'open',
  code: 'K7QF2M',
  earlierCodes: ['AAAAAA'],
  policy: policy(),
  requester: 'ana',
  approvedBy: [],
  ...more,
});

const payload = (more: Record<string, unknown> = {}): Record<string, unknown> => ({
  gate: 'promote',
  code: 'K7QF2M',
  by: 'ben',
  ...more,
});

const why = (state: GateState, more: Record<string, unknown> = {}, verdict: 'approve' | 'reject' = 'approve') =>
  whyRefused([state], readDecision(payload(more), verdict));

test('counts when the gate is open, the code is right and the person may', () => {
  expect(why(gate())).toBeNull();
  expect(why(gate(), { code: 'k7qf2m' })).toBeNull();
  expect(why(gate(), { gate: 'PROMOTE' })).toBeNull();
});

test.each<[string, Partial<GateState>, Record<string, unknown>, RegExp]>([
  ['before it opens', { phase: 'pending' }, {}, /^early/],
  ['after it expired', { phase: 'expired' }, {}, /^expired/],
  ['after it was approved', { phase: 'approved' }, {}, /^closed: .* approved/],
  ['after it was rejected', { phase: 'rejected' }, {}, /^closed: .* rejected/],
  ['after the run was aborted', { phase: 'withdrawn' }, {}, /^closed: .* withdrawn/],
  ['with another code', {}, { code: 'ZZZZZZ' }, /^wrong code/],
  ['under the name of the example', {}, { by: 'YOUR NAME' }, /^malformed: put your own name/],
  ['with the code of an earlier opening', {}, { code: 'AAAAAA' }, /^stale code/],
  ['at an unknown gate', {}, { gate: 'wipe' }, /^unknown gate/],
  ['from a stranger', { policy: policy({ from: ['cleo'] }) }, {}, /^foreign/],
  ['from the requester', { policy: policy({ notRequester: true }) }, { by: 'Ana' }, /^own request/],
  ['a second time', { approvedBy: ['ben'] }, { by: ' BEN ' }, /^repeated/],
  ['without a signature', { policy: policy({ identity: 'signed' }) }, {}, /^signature missing/],
])('an approval %s is refused', (_title, state, more, expected) => {
  expect(why(gate(state), more)).toMatch(expected);
});

test('the requester may take back what they asked for: a rejection is no approval', () => {
  expect(why(gate({ policy: policy({ notRequester: true }) }), { by: 'ana' }, 'reject')).toBeNull();
});

test.each<[unknown]>([
  [undefined],
  [null],
  ['text'],
  [7],
  [[]],
  [{}],
  [{ gate: 1, code: 2, by: 3 }],
  [{ gate: 'promote' }],
])('a payload %j reads as malformed and never throws', (raw) => {
  expect(readDecision(raw, null).problem).toMatch(/^malformed/);
  expect(readCommand(raw, true).problem).toMatch(/^malformed/);
});

test('texts of any length and content become short single lines', () => {
  const read = readDecision(payload({ by: `b\u0000e\nn${'x'.repeat(5_000)}`, comment: 'y'.repeat(50_000) }), 'approve');
  expect(read.by).toMatch(/^b e nx+…$/);
  expect(read.by.length).toBeLessThanOrEqual(120);
  expect(read.comment.length).toBeLessThanOrEqual(1_000);
});

test('one person has one name under any spelling', () => {
  expect(new Set(['ana', ' Ana ', 'ANA', 'ana\u200b', 'ａｎａ'].map(normaliseName))).toEqual(new Set(['ana']));
});

test('closes with the last approval that is needed, and with one rejection', () => {
  const two = gate({ policy: policy({ required: 2 }) });
  const first = applyDecision(two, readDecision(payload(), 'approve'));
  expect(first).toMatchObject({ phase: 'open', approvedBy: ['ben'] });
  expect(applyDecision(first, readDecision(payload({ by: 'cleo' }), 'approve')).phase).toBe('approved');
  expect(applyDecision(first, readDecision(payload({ by: 'cleo' }), 'reject')).phase).toBe('rejected');
});

test('never lets a gate open without any approval', () => {
  expect(requiredApprovals(policy({ required: 0 }))).toBe(1);
});
