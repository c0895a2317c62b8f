import fc from 'fast-check';

import {
  compareTimestamps,
  formatTarget,
  normaliseTimestamp,
  parseTarget,
  secondsBetween,
} from '../../shared/target-time.js';

const zones = fc.integer({ min: -14 * 60, max: 14 * 60 }).map((minutes) => {
  const sign = minutes < 0 ? '-' : '+';
  const part = (value: number): string => String(value).padStart(2, '0');
  return { minutes, text: `${sign}${part(Math.floor(Math.abs(minutes) / 60))}:${part(Math.abs(minutes) % 60)}` };
});
const instants = fc.date({ min: new Date('1990-01-01'), max: new Date('2100-01-01'), noInvalidDate: true });

describe('target', () => {
  test('a time in any zone is the same instant in utc', () => {
    fc.assert(
      fc.property(instants, zones, fc.integer({ min: 0, max: 999_999 }), (instant, zone, micros) => {
        const whole = new Date(Math.floor(instant.getTime() / 1000) * 1000);
        const local = new Date(whole.getTime() + zone.minutes * 60_000).toISOString().slice(0, 19);
        const fraction = String(micros).padStart(6, '0');
        const parsed = parseTarget(`${local}.${fraction}${zone.text}`);
        expect(parsed).toEqual({
          ok: true,
          target: { kind: 'time', value: `${whole.toISOString().slice(0, 19)}.${fraction}Z` },
        });
      }),
    );
  });

  test('what is written back is read as the same target', () => {
    for (const text of [
      'latest',
      'immediate',
      'xid:754',
      'before-xid:754',
      'lsn:0/1742AE0',
      'name:before; v2',
      '2026-06-13T09:53:26Z',
    ]) {
      const parsed = parseTarget(text);
      if (!parsed.ok) throw new Error(text);
      expect(parseTarget(formatTarget(parsed.target))).toEqual(parsed);
    }
  });

  test.each([
    '2026-06-13T09:53:26',
    '2026-06-13 09:53',
    '2026-02-31T00:00:00Z',
    '2026-06-13T25:00:00Z',
    '21/11/2026 03:27',
    'yesterday',
    '',
    'xid:',
    'xid:-1',
    'xid:12a',
    'lsn:12',
    'lsn:0/XYZ',
    'name:',
    `name:${'x'.repeat(64)}`,
    'Latest ',
  ])('refuses "%s" with a hint', (text) => {
    const parsed = parseTarget(text);
    expect(parsed.ok).toBe(false);
    if (!parsed.ok) expect(parsed.hint).not.toBe('');
  });

  test('no text makes the parser throw', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.stringMatching(/^(xid|lsn|name|before-xid|2026-1[0-9]-[0-9]{2}T):?.{0,20}$/)),
        (text) => {
          expect(typeof parseTarget(text).ok).toBe('boolean');
        },
      ),
    );
  });
});

describe('timestamps in the normal form', () => {
  test('sort as text', () => {
    fc.assert(
      fc.property(instants, instants, (a, b) => {
        const [x, y] = [normaliseTimestamp(a.toISOString())!, normaliseTimestamp(b.toISOString())!];
        expect(Math.sign(compareTimestamps(x, y))).toBe(Math.sign(a.getTime() - b.getTime()));
        expect(secondsBetween(x, y)).toBeCloseTo((b.getTime() - a.getTime()) / 1000, 3);
      }),
    );
  });

  test('what a server prints is understood, a time without a zone is not', () => {
    expect(normaliseTimestamp('2026-11-21 05:54:29.294816 UTC')).toBe('2026-11-21T05:54:29.294816Z');
    expect(normaliseTimestamp('2026-11-21 05:54:29.294816+00')).toBe('2026-11-21T05:54:29.294816Z');
    expect(normaliseTimestamp('2026-11-21 05:54:29')).toBeNull();
  });
});
