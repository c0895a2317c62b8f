/** Scenario: old safety copies are to go. Verified: which ones may, under every rule; the newest verified copy of a node never does. */
import fc from 'fast-check';

import type { SafetyCopy } from '../../shared/contracts/rebuild.js';
import { choosePrunable } from '../../shared/safety-copies.js';
import { safetyCopy } from '../support/flip-fixtures.js';

const NOW = '2026-11-21T00:00:00.000Z';
const DAY = 86_400;

const copy = (node: string, ageDays: number, verified = true): SafetyCopy =>
  safetyCopy('production', 'h2', `run-${node}-${String(ageDays)}`, {
    node,
    name: `${node}-${String(ageDays)}`,
    verified,
    createdAt: new Date(Date.parse(NOW) - ageDays * DAY * 1000).toISOString(),
  });

const removed = (copies: SafetyCopy[], olderThanDays: number | null, keep: number | null): string[] =>
  choosePrunable(
    copies,
    { olderThanSeconds: olderThanDays === null ? null : olderThanDays * DAY, keep },
    NOW,
  ).remove.map(({ name }) => name);

const four = [copy('a', 1), copy('a', 10), copy('a', 20), copy('a', 30)];

test.each<[string, SafetyCopy[], number | null, number | null, string[]]>([
  ['by age', four, 15, null, ['a-20', 'a-30']],
  ['by count', four, null, 3, ['a-30']],
  ['by both: old and beyond the count', four, 5, 3, ['a-30']],
  ['by neither: none', four, null, null, []],
  ['an age that all have: the newest stays', four, 0, null, ['a-10', 'a-20', 'a-30']],
  ['keep none: the newest stays', four, null, 0, ['a-10', 'a-20', 'a-30']],
  ['exactly as old as the limit: stays', [copy('a', 1), copy('a', 7)], 7, null, []],
  [
    'newest not verified: it and the newest verified one stay',
    [copy('a', 1, false), copy('a', 2), copy('a', 9)],
    0,
    0,
    ['a-9'],
  ],
  ['none verified: none goes', [copy('a', 1, false), copy('a', 9, false)], 0, 0, []],
  ['each node for itself', [copy('a', 30), copy('b', 30), copy('b', 40)], 7, null, ['b-40']],
])('%s', (_name, copies, olderThan, keep, expected) => {
  expect(removed(copies, olderThan, keep)).toEqual(expected);
});

test('a time that cannot be read is not an old one', () => {
  expect(removed([copy('a', 1), { ...copy('a', 9), createdAt: 'yesterday' }], 1, null)).toEqual([]);
});

test('whatever is asked for, each node keeps its newest verified copy, and nothing is both kept and removed', () => {
  const copies = fc.uniqueArray(
    fc.record({ node: fc.constantFrom('a', 'b'), age: fc.integer({ min: 0, max: 60 }), verified: fc.boolean() }),
    { selector: ({ node, age }) => `${node}-${String(age)}` },
  );
  const rule = fc.option(fc.integer({ min: 0, max: 40 }), { nil: null });
  fc.assert(
    fc.property(copies, rule, rule, (made, days, keep) => {
      const all = made.map(({ node, age, verified }) => copy(node, age, verified));
      const choice = choosePrunable(all, { olderThanSeconds: days === null ? null : days * DAY, keep }, NOW);
      const kept = choice.keep.map((one) => one.copy);
      expect(kept.length + choice.remove.length).toBe(all.length);
      for (const node of ['a', 'b']) {
        const verified = all.filter((one) => one.node === node && one.verified);
        const newest = verified.sort((x, y) => Date.parse(y.createdAt) - Date.parse(x.createdAt))[0];
        if (newest !== undefined) expect(kept).toContain(newest);
      }
    }),
  );
});
