import { fitRows, rowsOf } from '../../cli/render/live.js';
import { progressLine, stepLine } from '../../cli/render/run.js';
import { createStyle } from '../../cli/render/style.js';
import { renderPairs, renderTable } from '../../cli/render/table.js';
import {
  formatBytes,
  formatDuration,
  formatTime,
  oneLine,
  relativeTo,
  shellWord,
  truncate,
} from '../../cli/render/text.js';
import { createProgressMeter } from '../../cli/progress.js';
import type { StepView } from '../../shared/contracts/status.js';

const NOW = new Date('2026-11-21T03:45:00Z');
const plain = createStyle({ color: false }, { LANG: 'C.UTF-8' });
const options = { style: plain, now: NOW, columns: 80, ui: null };

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1.0 kB'],
  [9_949_999, '9.9 MB'],
  [9_950_000, '10 MB'],
  [999_499_999, '999 MB'],
  [999_500_000, '1.0 GB'],
  [1_100_000_000, '1.1 GB'],
  [5e15, '5.0 PB'],
  [-1500, '-1.5 kB'],
])('%d bytes', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test.each([
  [0, '0 s'],
  [0.34, '0.3 s'],
  [9.96, '10 s'],
  [59.4, '59 s'],
  [59.6, '1 min'],
  [125, '2 min 5 s'],
  [3600, '1 h'],
  [8040, '2 h 14 min'],
  [90_000, '1 d 1 h'],
])('%d seconds', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

test('times are shown in UTC, and how far they are', () => {
  expect(formatTime('2026-11-21T04:45:00.123+01:00')).toBe('2026-11-21T03:45:00Z');
  expect(relativeTo('2026-11-21T03:33:00Z', NOW)).toBe('(12 min ago)');
  expect(relativeTo('2026-11-21T06:45:00Z', NOW)).toBe('(in 3 h)');
});

test('a word for a shell is quoted only when it must be', () => {
  expect(shellWord('lab/pitr/20261121-034200')).toBe('lab/pitr/20261121-034200');
  expect(shellWord("it's $HOME")).toBe(`'it'\\''s $HOME'`);
});

test('text is cut with an ellipsis, and control characters never reach the terminal', () => {
  expect(truncate('abcdef', 4)).toBe('abc…');
  expect(truncate('äöü€', 4)).toBe('äöü€');
  expect(oneLine('a\n\u001b[31mb\u0007')).toBe('a [31mb');
});

test('tables align, numbers to the right, and can be cut by awk', () => {
  expect(
    renderTable(
      ['NAME', 'SIZE'],
      [
        ['a', '1.0 kB'],
        ['long', '12 MB'],
      ],
    ),
  ).toBe('NAME    SIZE\na     1.0 kB\nlong   12 MB\n');
  expect(
    renderPairs([
      ['run', 'x'],
      ['asked for by', 'ana'],
      ['ui', null],
    ]),
  ).toBe('run:           x\nasked for by:  ana\n');
});

describe('a step', () => {
  const step: StepView = {
    id: 'restore-base',
    title: 'Fetch the base and the WAL',
    status: 'done',
    startedAt: '2026-11-21T03:44:00Z',
    endedAt: '2026-11-21T03:44:12Z',
    attempts: 2,
  };
  test('shows its mark, its time and its attempts', () => {
    expect(stepLine(step, options)).toMatch(/^ ✓ Fetch the base and the WAL +12 s \(attempt 2\)$/);
  });
  test.each([40, 60, 80, 120, 300])('fits %d columns', (columns) => {
    const long = { ...step, title: 'x'.repeat(400) };
    expect(stepLine(long, { ...options, columns }).length).toBeLessThanOrEqual(Math.max(columns, 41));
  });
  test('without UTF-8 the marks are plain', () => {
    const ascii = createStyle({ color: false }, { LANG: 'C' });
    expect(stepLine(step, { ...options, style: ascii })).toMatch(/^ \+ Fetch/);
  });
  test('colour is there only when asked for', () => {
    expect(stepLine(step, { ...options, style: createStyle({ color: true }, {}) })).toContain('\u001b[32m');
    expect(stepLine(step, options)).not.toContain('\u001b');
  });
});

test('a bar with its facts fits 80 columns', () => {
  const line = progressLine(
    {
      done: 612_000_000,
      total: 1_100_000_000,
      unit: 'bytes',
      ratePerSecond: 145_000_000,
      etaSeconds: 4,
      note: 'n'.repeat(200),
    },
    options,
  );
  expect(line).toContain('612 MB of 1.1 GB  55 %  145 MB/s  ETA 4 s');
  expect(line.length).toBeLessThanOrEqual(80);
});

describe('progress', () => {
  const step: StepView = {
    id: 'restore-base',
    title: '',
    status: 'running',
    startedAt: '2026-11-21T03:44:50Z',
    endedAt: null,
    attempts: 1,
  };
  const at = (seconds: number): Date => new Date(NOW.getTime() + seconds * 1000);
  const bytes = (done: number, total: number | null = 1000) => ({ done, total, unit: 'bytes' as const });

  test('one look gives the average since the step began', () => {
    expect(createProgressMeter().measure(step, bytes(100), NOW)).toMatchObject({ ratePerSecond: 10, etaSeconds: 90 });
  });
  test('several looks give the rate of the last seconds, so that a stall shows', () => {
    const meter = createProgressMeter();
    for (let second = 0; second <= 5; second += 1) meter.measure(step, bytes(second * 100), at(second));
    expect(meter.measure(step, bytes(600), at(6)).ratePerSecond).toBe(100);
    for (let second = 7; second <= 30; second += 1) meter.measure(step, bytes(600), at(second));
    expect(meter.measure(step, bytes(600), at(31))).toMatchObject({ ratePerSecond: 0, etaSeconds: null });
  });
  test('another step, or an attempt that begins again, starts a new measurement', () => {
    const meter = createProgressMeter();
    meter.measure(step, bytes(900), at(0));
    const again = meter.measure(step, bytes(10), at(1));
    expect(again.ratePerSecond).toBeGreaterThanOrEqual(0);
    expect(again.ratePerSecond).toBeLessThan(10);
  });
  test('an unknown total has no ETA', () => {
    expect(createProgressMeter().measure(step, bytes(100, null), NOW)).toMatchObject({ total: 0, etaSeconds: null });
  });
});

describe('redrawing', () => {
  test('counts the rows of lines that wrap, colours not counted', () => {
    expect(rowsOf(['', 'x'.repeat(80), 'x'.repeat(81), `\u001b[32m${'x'.repeat(80)}\u001b[39m`], 80)).toBe(5);
  });
  test('a view taller than the screen keeps its head and its newest lines', () => {
    const lines = Array.from({ length: 30 }, (_, index) => String(index));
    const fitted = fitRows(lines, 12);
    expect(fitted).toHaveLength(10);
    expect([fitted[0], fitted.at(-1)]).toEqual(['0', '29']);
    expect(fitRows(lines, undefined)).toEqual(lines);
  });
});
