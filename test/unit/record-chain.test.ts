import type { RecordEntry } from '../../shared/contracts/record.js';
import { EMPTY_HEAD, linkEntry, verifyEntries, type RecordHead } from '../../shared/record-chain.js';

function chain(length: number): { entries: RecordEntry[]; head: RecordHead } {
  const entries: RecordEntry[] = [];
  let head = EMPTY_HEAD;
  for (let index = 1; index <= length; index += 1) {
    const body = { kind: 'note', text: `entry ${String(index)}`, data: { b: 1, a: undefined } } as const;
    const entry = linkEntry(head, {
      run: 'lab/change',
      runId: 'r1',
      at: `2026-11-21T03:00:0${String(index)}.000Z`,
      body,
    });
    entries.push(entry);
    head = { seq: entry.seq, hash: entry.hash };
  }
  return { entries, head };
}

/** As a store reads it back. */
const stored = (entries: RecordEntry[]): RecordEntry[] => JSON.parse(JSON.stringify(entries)) as RecordEntry[];
const problems = (entries: RecordEntry[], head: RecordHead | null): string =>
  verifyEntries(entries, head)
    .map(({ seq, problem }) => `${String(seq)} ${problem}`)
    .join('\n');

test('a chain as it was written has no problem, also after a store has read it back', () => {
  const { entries, head } = chain(5);
  expect(verifyEntries(entries, head)).toEqual([]);
  expect(verifyEntries(stored(entries), head)).toEqual([]);
});

test('an edited entry shows, also when its own hash was made to fit', () => {
  const { entries, head } = chain(5);
  const edited = stored(entries);
  edited[2] = { ...edited[2]!, at: '2026-11-21T04:00:00.000Z' };
  expect(problems(edited, head)).toContain('3 was edited');
  const previous = { seq: 2, hash: edited[1]!.hash };
  edited[2] = linkEntry(previous, { run: 'lab/change', runId: 'r1', at: edited[2].at, body: edited[2].body });
  expect(problems(edited, head)).toContain('4 does not follow');
});

test('an entry taken out, put elsewhere or added from another run shows', () => {
  const { entries, head } = chain(5);
  expect(problems(entries.toSpliced(2, 1), head)).toContain('4 expected entry 3 here');
  expect(problems([entries[0]!, entries[2]!, entries[1]!, ...entries.slice(3)], head)).toContain('reordered');
  expect(problems(entries.with(1, { ...entries[1]!, runId: 'r2' }), head)).toContain('2 belongs to another execution');
});

test('a record cut at its end shows against the head that is kept apart', () => {
  const { entries, head } = chain(5);
  expect(problems(entries.slice(0, 4), head)).toContain('4 entries 5 to 5 are missing at the end');
  expect(problems(entries, null)).toContain('the head of the record is missing');
  expect(problems(entries, { ...head, hash: 'f'.repeat(64) })).toContain('the head names another entry');
});

test('one entry beyond the head is no problem: the writer died between the two writes', () => {
  const { entries } = chain(5);
  expect(verifyEntries(entries, { seq: 4, hash: entries[3]!.hash })).toEqual([]);
  expect(verifyEntries(entries.slice(0, 1), null)).toEqual([]);
});
