/**
 * Scenario: a real archive of PostgreSQL with every kind of end that a transaction can have. Verified: for each kind of target the
 * boundary names exactly the transactions that the server reported.
 */
import { resolveTarget } from '../../../activities/backup-store/resolve-target.js';
import { computeWindow } from '../../../activities/backup-store/window.js';
import type { ResolvedTarget, ResolveTargetInput } from '../../../activities/lib/backup-store.js';
import type { TargetSpec } from '../../../shared/target-time.js';
import {
  commit,
  currentLsn,
  serverTime,
  startArchive,
  switchWal,
  takeFakeBase,
  type TestArchive,
} from '../../support/archive.js';

const majors = [
  ['PostgreSQL 18', process.env['PGR_TEST_POSTGRES_BIN']],
  ['PostgreSQL 17', process.env['PGR_TEST_POSTGRES17_BIN']],
].filter((major): major is [string, string] => major[1] !== undefined);

describe.each(majors)('boundary of a target, %s', (_name, binDir) => {
  let archive: TestArchive;
  const facts: Record<string, { xid: string; after: string }> = {};
  const lsns: Record<string, Awaited<ReturnType<typeof currentLsn>>> = {};
  let rolledBack = '';
  let subtransaction = '';

  const input = (target: TargetSpec): ResolveTargetInput => ({
    environment: 'test',
    target,
    scratchDir: archive.scratchDir,
    binDir,
    live: null,
    requestedAt: new Date().toISOString(),
  });
  const resolve = (target: TargetSpec): Promise<ResolvedTarget> => resolveTarget(archive.context, input(target));

  beforeAll(async () => {
    archive = await startArchive({ binDir });
    const { cluster } = archive;
    await cluster.query('create table t (id int primary key, note text)');
    await takeFakeBase(archive, { id: 'b1' });
    facts['first'] = await commit(cluster, `insert into t values (1, 'first')`);
    facts['second'] = await commit(cluster, `insert into t values (2, 'second')`);
    // Rolled back, with its number known.
    const client = await cluster.query<{ xid: string }>('select pg_current_xact_id()::xid::text as xid');
    expect(client).toHaveLength(1);
    await cluster
      .query(`do $$ begin insert into t values (3, 'x'); raise exception '%', pg_current_xact_id()::xid; end $$`)
      .catch((error: unknown) => {
        rolledBack = error instanceof Error ? error.message : '';
      });
    // A savepoint writes under an id of its own.
    await cluster.query(
      `do $$ begin insert into t values (4, 'outer'); begin insert into t values (5, 'inner'); exception when others then null; end; end $$`,
    );
    const [inner] = await cluster.query<{ xmin: string }>('select xmin::text from t where id = 5');
    subtransaction = inner!.xmin;
    facts['outer'] = {
      xid: (await cluster.query<{ x: string }>('select xmin::text x from t where id = 4'))[0]!.x,
      after: '',
    };
    await cluster.query(`select pg_create_restore_point('before the change')`);
    await switchWal(archive);
    facts['third'] = await commit(cluster, `insert into t values (6, 'third')`);
    lsns['afterThird'] = await currentLsn(cluster);
    await cluster.query(`begin; insert into t values (7, 'two-phase'); prepare transaction 'p1'`);
    facts['prepared'] = {
      xid: (await cluster.query<{ x: string }>(`select transaction::text x from pg_prepared_xacts`))[0]!.x,
      after: '',
    };
    facts['fourth'] = await commit(cluster, `insert into t values (8, 'fourth')`);
    await cluster.query(`commit prepared 'p1'`);
    await cluster.query('truncate t');
    facts['afterTruncate'] = { xid: '', after: await serverTime(cluster) };
    await switchWal(archive);
  });

  afterAll(async () => {
    await archive.destroy();
  });

  test('a time between two commits keeps the first and drops the second', async () => {
    const { boundary, stop, lost, baseChain, fetch } = await resolve({ kind: 'time', value: facts['first']!.after });
    expect(boundary.kept?.xid).toBe(facts['first']!.xid);
    expect(boundary.dropped?.xid).toBe(facts['second']!.xid);
    expect(stop).toEqual({ kind: 'lsn', lsn: boundary.kept?.lsn, inclusive: true });
    expect(baseChain.map((base) => base.id)).toEqual(['b1']);
    expect(lost.exact).toBe(true);
    expect(lost.commits).toBeGreaterThan(5);
    expect(fetch.walSegments).toBeGreaterThan(0);
  });

  test('a time equal to a commit keeps it', async () => {
    const { boundary } = await resolve({ kind: 'xid', value: facts['second']!.xid });
    const again = await resolve({ kind: 'time', value: boundary.kept!.time });
    expect(again.boundary).toEqual(boundary);
  });

  test('xid keeps the transaction, before-xid drops it', async () => {
    const kept = await resolve({ kind: 'xid', value: facts['third']!.xid });
    expect(kept.boundary.kept?.xid).toBe(facts['third']!.xid);
    const dropped = await resolve({ kind: 'before-xid', value: facts['third']!.xid });
    expect(dropped.boundary.dropped).toEqual(kept.boundary.kept);
  });

  test('a subtransaction stands for its top-level transaction, with a warning', async () => {
    const { boundary, warnings } = await resolve({ kind: 'xid', value: subtransaction });
    expect(subtransaction).not.toBe(facts['outer']!.xid);
    expect(boundary.kept?.xid).toBe(facts['outer']!.xid);
    expect(warnings.join()).toContain(`subtransaction of ${facts['outer']!.xid}`);
  });

  test('a prepared transaction counts where it is committed, not where it was prepared', async () => {
    const { boundary } = await resolve({ kind: 'before-xid', value: facts['prepared']!.xid });
    expect(boundary.dropped?.xid).toBe(facts['prepared']!.xid);
    expect(boundary.kept?.xid).toBe(facts['fourth']!.xid);
  });

  test('a restore point keeps everything before it', async () => {
    const { boundary } = await resolve({ kind: 'name', value: 'before the change' });
    expect(boundary.kept?.xid).toBe(facts['outer']!.xid);
  });

  test('an lsn that is the end of a record keeps what was committed before it and says so', async () => {
    const { boundary, warnings } = await resolve({ kind: 'lsn', value: lsns['afterThird']! });
    expect(boundary.kept?.xid).toBe(facts['third']!.xid);
    expect(boundary.kept?.endLsn).toBe(lsns['afterThird']);
    expect(warnings).toEqual([]);
  });

  test('latest keeps the last archived commit and drops nothing', async () => {
    const { boundary, lost } = await resolve({ kind: 'latest' });
    const window = await computeWindow(archive.context, input({ kind: 'latest' }));
    expect(boundary.dropped).toBeNull();
    expect(boundary.kept).toEqual(window.lastCommit);
    expect(lost).toMatchObject({ commits: 0, exact: true, seconds: 0 });
    expect(window).toMatchObject({ holes: [], latest: window.lastCommit?.time, timeline: 1, warnings: [] });
    expect(window.bases.map(({ id, usable }) => [id, usable])).toEqual([['b1', true]]);
  });

  test('immediate stops where the base is consistent', async () => {
    const { stop, boundary } = await resolve({ kind: 'immediate' });
    expect(stop).toEqual({ kind: 'immediate' });
    expect(boundary.dropped?.xid).toBe(facts['first']!.xid);
  });

  test('a transaction that was rolled back is told apart from one that was never seen', async () => {
    await expect(resolve({ kind: 'xid', value: rolledBack })).rejects.toMatchObject({
      type: 'TargetNotRecoverable',
      message: expect.stringContaining('rolled back at') as string,
    });
    await expect(resolve({ kind: 'xid', value: '4000000000' })).rejects.toMatchObject({
      message: expect.stringContaining('had ended before the window') as string,
    });
    await expect(resolve({ kind: 'xid', value: '99999999' })).rejects.toMatchObject({
      message: expect.stringContaining('never seen to end') as string,
    });
    await expect(resolve({ kind: 'xid', value: '5' })).rejects.toMatchObject({
      message: expect.stringContaining('had ended before the window') as string,
    });
  });
});
