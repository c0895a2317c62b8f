import { amcheckOutcome } from '../../activities/postgres/sandbox/check-amcheck.js';
import { compareCounts } from '../../activities/postgres/sandbox/check-row-counts.js';
import { nearestFullXid, stopChecks } from '../../activities/postgres/sandbox/check-target.js';
import { meets } from '../../activities/postgres/sandbox/check-user.js';
import { checkOf } from '../../activities/postgres/sandbox/evidence.js';
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import type { Lsn } from '../../shared/lsn.js';

describe('a check of the user', () => {
  test.each([
    ['no rows', 0, null, true],
    ['no rows', 1, '5', false],
    ['>= 100', 1, '100', true],
    ['>= 100', 1, '99', false],
    ['> 9', 1, '10', true],
    ['< 9', 1, '10', false],
    ['<= 1.5', 1, '1.50', true],
    ['!= 3', 1, '4', true],
    ['= 3', 1, '3.0', true],
    ['>= 2026-11-21', 1, '2026-11-22', true],
    ['paid', 1, 'paid', true],
    ['paid', 1, 'open', false],
    [7, 1, '7', true],
    [7, 1, '7.0', true],
    [0, 1, '', false],
    [true, 1, 't', true],
    [false, 1, 't', false],
    ['>= 1', 0, null, false],
    ['>= 0', 1, null, false],
  ])('that expects %s and sees %s row(s) with %s: %s', (expect_, rows, value, good) => {
    expect(meets(expect_, rows, value)).toBe(good);
  });
});

describe('a transaction id', () => {
  test.each([
    ['745', 800n, 745n],
    ['745', (5n << 32n) + 800n, (5n << 32n) + 745n],
    ['4294967290', (5n << 32n) + 10n, (4n << 32n) + 4294967290n],
    ['5', (4n << 32n) + 4294967290n, (5n << 32n) + 5n],
    ['4294967290', 10n, 4294967290n],
    [String((3n << 32n) + 7n), (5n << 32n) + 10n, (3n << 32n) + 7n],
  ])('%s seen from %s is %s', (xid, next, full) => {
    expect(nearestFullXid(BigInt(xid), next)).toBe(full);
  });
});

describe('row counts', () => {
  test('show the largest difference first, dropped tables and tables of later', () => {
    const counts = compareCounts(
      {
        counted: [
          { table: 'public.a', rows: 5 },
          { table: 'public.orders', rows: 100 },
          { table: 'public.dropped', rows: 3 },
        ],
        uncounted: [{ table: 'public.locked', why: 'x', locked: true }],
      },
      {
        counted: [
          { table: 'public.a', rows: 5 },
          { table: 'public.orders', rows: 0 },
          { table: 'public.later', rows: 50 },
          { table: 'public.locked', rows: 9 },
        ],
        uncounted: [],
      },
    );
    expect(counts).toEqual([
      { table: 'public.orders', sandbox: 100, production: 0 },
      { table: 'public.later', sandbox: 0, production: 50 },
      { table: 'public.dropped', sandbox: 3, production: null },
      { table: 'public.a', sandbox: 5, production: 5 },
    ]);
  });

  test('have nothing to compare with when no primary answers', () => {
    expect(compareCounts({ counted: [{ table: 'public.a', rows: 5 }], uncounted: [] }, null)).toEqual([
      { table: 'public.a', sandbox: 5, production: null },
    ]);
  });
});

describe('a check that could not be made', () => {
  test('is a row that is not good, with the reason', async () => {
    const row = await checkOf('x', 'y', () => Promise.reject(new Error('relation "orders" does not exist\nLINE 1')));
    expect(row).toEqual({ check: 'x', expected: 'y', actual: 'unknown: relation "orders" does not exist', ok: false });
  });

  test('amcheck that could look at nothing is not good', () => {
    expect(
      amcheckOutcome(1, [
        'pg_amcheck: warning: skipping database "postgres": amcheck is not installed',
        'pg_amcheck: error: no relations to check',
      ]),
    ).toMatchObject({ ok: false });
    expect(
      amcheckOutcome(0, ['pg_amcheck: warning: skipping database "postgres": amcheck is not installed']),
    ).toMatchObject({ ok: true, note: expect.stringContaining('postgres') as unknown });
    expect(amcheckOutcome(2, ['heap table "orders": block 3 …'])).toMatchObject({
      ok: false,
      actual: expect.stringContaining('corruption found') as unknown,
    });
    expect(amcheckOutcome(1, ['could not connect'])).toMatchObject({
      ok: false,
      actual: expect.stringContaining('unknown') as unknown,
    });
  });
});

describe('the stop as evidence', () => {
  const lsn = (text: string): Lsn => text as Lsn;
  const plan = {
    stop: { kind: 'lsn', lsn: lsn('0/5000148'), inclusive: true },
    boundary: { kept: { xid: '7', lsn: lsn('0/5000148'), time: 't', endLsn: lsn('0/5000170') }, dropped: null },
  } as unknown as RecoveryPlan;
  const reached = (at: string, replay: string): Parameters<typeof stopChecks>[1] => ({
    stop: { line: '2026-11-21 03:42:00.000 UTC [1] LOG:  recovery stopping after …', where: 'after', lsn: lsn(at) },
    lsn: lsn(replay),
    clock: null,
    seconds: 1,
  });

  test('is good only to the byte', () => {
    expect(stopChecks(plan, reached('0/5000148', '0/5000170')).map((row) => row.ok)).toEqual([true, true]);
    expect(stopChecks(plan, reached('0/5000180', '0/5000190')).map((row) => row.ok)).toEqual([false, false]);
    expect(stopChecks(plan, null).map((row) => row.ok)).toEqual([false, false]);
  });
});
