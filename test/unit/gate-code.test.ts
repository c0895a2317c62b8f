import { createHash } from 'node:crypto';

import { canonicalJson } from '../../shared/canonical-json.js';
import { gateCode, normaliseCode } from '../../shared/gate-code.js';

const facts = { runId: 'r1', gate: 'promote', planHash: 'h1', evidence: [{ check: 'a', ok: true }], opening: 1 };

test('is the first 6 characters of the Crockford base32 of SHA-256 over run id, gate, plan hash and evidence', () => {
  const bound = { runId: facts.runId, gate: facts.gate, planHash: facts.planHash, evidence: facts.evidence };
  const digest = createHash('sha256').update(canonicalJson(bound)).digest();
  const bits = [...digest].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  const expected = [0, 5, 10, 15, 20, 25]
    .map((at) => alphabet.charAt(Number.parseInt(bits.slice(at, at + 5), 2)))
    .join('');
  expect(gateCode(facts)).toBe(expected);
});

test.each<[string, Partial<typeof facts>]>([
  ['another run', { runId: 'r2' }],
  ['another gate', { gate: 'undo' }],
  ['another plan', { planHash: 'h2' }],
  ['other evidence', { evidence: [{ check: 'a', ok: false }] }],
  ['another opening', { opening: 2 }],
])('%s has another code', (_title, more) => {
  expect(gateCode({ ...facts, ...more })).not.toBe(gateCode(facts));
});

test('is the same whatever the order of the keys in the evidence', () => {
  expect(gateCode({ ...facts, evidence: [{ ok: true, check: 'a' }] })).toBe(gateCode(facts));
});

test('is compared as a person types it: spaces, case, and letters that look like digits', () => {
  expect(normaliseCode(' k7-qf 2m ')).toBe('K7QF2M');
  expect(normaliseCode('oIl000')).toBe('011000');
});
