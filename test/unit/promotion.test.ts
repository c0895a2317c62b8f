import { keptDataDirFor } from '../../shared/ids.js';
import { endRecoverySettings } from '../../activities/postgres/promotion/end-recovery-settings.js';
import { segmentEndingAt } from '../../activities/postgres/promotion/archive-wait.js';
import { undoneDataDirFor } from '../../activities/postgres/promotion/node-place.js';
import { replayProblem } from '../../activities/postgres/promotion/plan-checks.js';
import { choosePrimary, requireSameCluster, type ProbedNode } from '../../activities/postgres/promotion/probe-nodes.js';
import { archivingProblem } from '../../activities/postgres/promotion/production-settings.js';
import { archiveCommandFor } from '../../activities/postgres/promotion/push-wal.js';
import { leftovers, primaryProblems, type SettingFact } from '../../activities/postgres/promotion/start-checks.js';
import { requireKnownTimelines } from '../../activities/postgres/promotion/wal-for-promotion.js';
import { standbyCloneArgs } from '../../activities/postgres/commands.js';
import { windowRows } from '../../activities/postgres/checks/check-archive.js';
import type { BackupStore } from '../../activities/lib/backup-store.js';
import type { NodeConfig } from '../../config/schema.js';
import type { Lsn } from '../../shared/lsn.js';

const lsn = (text: string): Lsn => text as Lsn;

describe('archiving', () => {
  const works = { archive_mode: 'on', archive_command: 'pgr wal-push %p', archive_library: '' };
  test.each([
    [{ ...works, archive_mode: 'off' }, /archive_mode is off/],
    [{ ...works, archive_command: '' }, /are empty/],
    [{ ...works, archive_command: '(disabled)' }, /are empty/],
    [{ ...works, archive_command: '/bin/true' }, /keeps nothing/],
  ])('that keeps nothing is refused: %j', (settings, why) => {
    expect(archivingProblem(settings)).toMatch(why);
  });
  test('by a command or a library is fine', () => {
    expect(archivingProblem(works)).toBeNull();
    expect(archivingProblem({ ...works, archive_command: '', archive_library: 'basic_archive' })).toBeNull();
  });
  test('runs the command for a file as the server would', () => {
    expect(archiveCommandFor('push %p as %f at 100%% %x', '000000010000000000000001')).toBe(
      'push pg_wal/000000010000000000000001 as 000000010000000000000001 at 100% %x',
    );
  });
  test('waits for the segment before a boundary, not for one that was never begun', () => {
    expect(segmentEndingAt(lsn('0/4000000'), 1, 16_777_216)).toBe('000000010000000000000003');
    expect(segmentEndingAt(lsn('0/4000078'), 2, 16_777_216)).toBe('000000020000000000000004');
  });
});

describe('the end of recovery', () => {
  const place = { timeline: 3, port: 15_499, socketDir: '/tmp/pgr-x', hbaFile: '/h', user: 'postgres' };
  test('has one target, promotes, is private, and leaves archiving as production has it', () => {
    const settings = endRecoverySettings({ ...place, stop: { kind: 'lsn', lsn: lsn('0/5A0'), inclusive: false } });
    expect(settings).toMatchObject({
      recovery_target_lsn: '0/5A0',
      recovery_target_inclusive: 'off',
      recovery_target: '',
      recovery_target_time: '',
      recovery_target_timeline: '3',
      recovery_target_action: 'promote',
      listen_addresses: '127.0.0.1',
      fsync: 'on',
    });
    expect(Object.keys(settings)).not.toEqual(expect.arrayContaining(['archive_mode']));
    expect(Object.keys(settings)).not.toEqual(expect.arrayContaining(['archive_command']));
  });
  test('of an immediate target names no position', () => {
    expect(endRecoverySettings({ ...place, stop: { kind: 'immediate' } })).toMatchObject({
      recovery_target: 'immediate',
      recovery_target_lsn: '',
    });
  });
});

describe('where replay stands', () => {
  const point = (at: string) => ({ xid: '1', lsn: lsn(at), time: '' });
  const plan = {
    stop: { kind: 'lsn' as const, lsn: lsn('0/500'), inclusive: true },
    boundary: { kept: point('0/500'), dropped: point('0/900') },
  };
  test('after the last kept commit and not after the first dropped one is right', () => {
    expect(replayProblem(plan, lsn('0/528'))).toBeNull();
    expect(replayProblem(plan, lsn('0/900'))).toBeNull();
  });
  test('anything else is named', () => {
    expect(replayProblem(plan, lsn('0/500'))).toMatch(/before the last commit to keep/);
    expect(replayProblem(plan, lsn('0/928'))).toMatch(/after the first commit to drop/);
  });
});

describe('who is the primary', () => {
  const probed = (name: string, state: 'running' | 'down', role: ProbedNode['role'], host = name): ProbedNode => ({
    node: { name, host } as NodeConfig,
    state,
    role,
    systemIdentifier: '7',
    timeline: 1,
    note: null,
  });
  test('the one that runs, when it is on the host of the sandbox', () => {
    const nodes = [probed('dallas', 'running', 'primary'), probed('chicago', 'running', 'standby')];
    expect(choosePrimary(nodes, 'dallas').node.name).toBe('dallas');
    expect(() => choosePrimary(nodes, 'chicago')).toThrow(/the primary dallas on dallas/);
  });
  test('two that accept writes are refused', () => {
    expect(() => choosePrimary([probed('a', 'running', 'primary'), probed('b', 'running', 'primary')], 'a')).toThrow(
      /both accept writes/,
    );
  });
  test('one that is down is recognised by its files, a standby that is down is not taken for it', () => {
    expect(choosePrimary([probed('a', 'down', 'primary'), probed('b', 'running', 'standby')], 'a').node.name).toBe('a');
    expect(() => choosePrimary([probed('a', 'down', 'standby'), probed('b', 'down', 'unknown')], 'a')).toThrow(
      /no primary answers/,
    );
  });
  test('a node of another cluster is a refusal', () => {
    expect(() => {
      requireSameCluster([probed('a', 'running', 'primary')], '8');
    }).toThrow(/has system identifier 7, the sandbox 8/);
  });
});

describe('a started server', () => {
  const setting = (name: string, value: string, source = 'configuration file'): SettingFact => ({
    name,
    value,
    source,
  });
  const good = [
    setting('archive_mode', 'on'),
    setting('default_transaction_read_only', 'off'),
    setting('recovery_target_lsn', ''),
  ];
  const facts = (settings: SettingFact[], inRecovery = false) => ({
    systemIdentifier: '7',
    inRecovery,
    timeline: 2,
    settings,
  });
  test('that archives and accepts writes is production', () => {
    expect(primaryProblems(facts(good))).toEqual([]);
  });
  test('that does not archive, is read-only, in recovery or on the settings of a sandbox is not', () => {
    expect(primaryProblems(facts([setting('archive_mode', 'off')]))).toEqual(['archive_mode is off']);
    expect(primaryProblems(facts(good, true))).toEqual(['it is in recovery']);
    expect(leftovers([setting('fsync', 'off', 'command line'), setting('recovery_target_time', 'x')])).toEqual([
      'fsync = off comes from its command line',
      'recovery_target_time is still set to x',
    ]);
  });
});

describe('timelines', () => {
  const store = (names: string[]) =>
    ({
      walPresence: (name: string) => Promise.resolve(names.includes(name) ? 'found' : 'missing'),
    }) as unknown as BackupStore;
  test('that the archive has and nobody here knows are refused', async () => {
    await expect(requireKnownTimelines(store(['00000002.history']), new Set())).rejects.toMatchObject({
      type: 'PreconditionFailed',
    });
    await expect(
      requireKnownTimelines(store(['00000002.history']), new Set(['00000002.history'])),
    ).resolves.toBeUndefined();
  });
});

test('the undone data are named after the run', () => {
  const runId = '01a1fcf9-edb8-71a1-abe7-790341a5c317';
  expect(undoneDataDirFor('/pg/data', runId)).toBe('/pg/data.undone-01a1fcf9-edb8');
});

test('a clone streams through its slot and carries no password', () => {
  const args = standbyCloneArgs({
    host: "o'host",
    port: 5433,
    user: 'repl',
    targetDir: '/new',
    slot: 'chicago',
    applicationName: 'chicago',
  });
  expect(args).toEqual(
    expect.arrayContaining([
      '--slot',
      'chicago',
      '--write-recovery-conf',
      '--checkpoint=fast',
      '--wal-method=stream',
      '--no-password',
    ]),
  );
  expect(args[1]).toBe("host='o\\'host' port=5433 user='repl' application_name='chicago'");
});

test('a window without bases is not good, an old base is not good', () => {
  const empty = {
    environment: 'lab',
    systemIdentifier: null,
    timeline: null,
    earliest: null,
    latest: null,
    lastCommit: null,
    bases: [],
    holes: [],
    warnings: [],
  };
  expect(
    windowRows(empty, '2026-11-21T00:00:00.000000Z')
      .filter((row) => row.ok)
      .map((row) => row.check),
  ).toEqual(['wal-continuity']);
  const base = { id: 'b', usable: true, endedAt: '2026-11-19T00:00:00.000000Z' } as never;
  const rows = windowRows({ ...empty, earliest: 'a', latest: 'b', bases: [base] }, '2026-11-21T00:00:00.000000Z');
  expect(rows.find((row) => row.check === 'base-age')).toMatchObject({ ok: false, actual: 'b, 48.0 h old' });
});

test('two runs of the same minute keep their data under different names', () => {
  // UUIDv7: the first eight digits are the same for about a minute.
  const first = keptDataDirFor('/pg/data', '01a1fcf9-edb8-71a1-abe7-790341a5c317');
  expect(keptDataDirFor('/pg/data', '01a1fcf9-f0c2-7d52-9569-85c5bc097d6e')).not.toBe(first);
});
