/** Pure parts of a flip: who hands over to whom, what an attempt makes of what it finds, the checks, the end of a WAL. */
import { chooseNodes } from '../../../activities/postgres/flip/choose-nodes.js';
import type { FlipNote } from '../../../activities/postgres/flip/flip-note.js';
import { logicalSlotFates } from '../../../activities/postgres/flip/logical-slots.js';
import { parseCommits } from '../../../activities/postgres/flip/lost-tail.js';
import { plannedChecks, type WalPath } from '../../../activities/postgres/flip/preflight-checks.js';
import type { NodeFacts, SlotFact } from '../../../activities/postgres/flip/preflight-facts.js';
import { decide, type CandidateState, type OldState } from '../../../activities/postgres/flip/situation.js';
import { conninfoOf } from '../../../activities/postgres/flip/follow.js';
import { conninfoValue, upstreamOf } from '../../../activities/postgres/flip/upstream.js';
import type { FlipPlan } from '../../../shared/contracts/flip.js';
import type { Topology, TopologyNode } from '../../../shared/contracts/topology.js';
import { parseLsn } from '../../../shared/lsn.js';

const node = (name: string, role: TopologyNode['role'], change: Partial<TopologyNode> = {}): TopologyNode => ({
  name,
  host: name,
  address: `10.0.0.${String(name.length)}`,
  port: 5432,
  role,
  why: null,
  timeline: 1,
  lsn: null,
  receiveLsn: null,
  replayLsn: null,
  lagBytes: role === 'standby' ? 0 : null,
  lagSeconds: null,
  systemIdentifier: role === 'down' ? null : '77',
  version: '18',
  receiver: null,
  sync: null,
  slot: null,
  acceptsWrites: role === 'primary',
  replayPaused: false,
  pendingRestart: [],
  health: null,
  ...change,
});
const topology = (...nodes: TopologyNode[]): Topology => ({
  environment: 'production',
  writeVip: { address: 'vip', owner: null, probe: { ok: true, ms: 1, why: null } },
  nodes,
  slots: [],
  routers: [],
  poolers: [],
  archiver: null,
  contradictions: [],
  advice: [],
});

describe('who hands over to whom', () => {
  const pair = topology(node('dallas', 'primary'), node('chicago', 'standby'));
  const choose = (t: Topology, to: string | null = null, failover = false) =>
    chooseNodes({ to, failover, topology: t });

  test('the standby that is closest behind', () => {
    const three = topology(
      node('dallas', 'primary'),
      node('boston', 'standby', { lagBytes: 900 }),
      node('chicago', 'standby', { lagBytes: 5 }),
    );
    const chosen = choose(three);
    expect([chosen.from.name, chosen.to.name, chosen.others.map(({ name }) => name)]).toEqual([
      'dallas',
      'chicago',
      ['boston'],
    ]);
  });

  test.each([
    ['a node that there is not', pair, 'austin', false, 'NotFound', /no node "austin"/],
    ['the primary itself', pair, 'dallas', false, 'PreconditionFailed', /is the primary already/],
    [
      'two primaries',
      topology(node('dallas', 'primary'), node('chicago', 'primary')),
      null,
      false,
      'PreconditionFailed',
      /both accept writes/,
    ],
    [
      'a standby of another system',
      topology(node('dallas', 'primary'), node('chicago', 'standby', { systemIdentifier: '88' })),
      null,
      false,
      'IdentityMismatch',
      /another system/,
    ],
    [
      'no standby',
      topology(node('dallas', 'primary'), node('chicago', 'down')),
      null,
      false,
      'PreconditionFailed',
      /no standby answers/,
    ],
    [
      'a standby that is down',
      topology(node('dallas', 'primary'), node('chicago', 'down')),
      'chicago',
      false,
      'PreconditionFailed',
      /no standby that answers/,
    ],
    [
      'no primary',
      topology(node('dallas', 'down'), node('chicago', 'standby')),
      null,
      false,
      'PreconditionFailed',
      /no primary answers/,
    ],
    ['a failover while the primary answers', pair, null, true, 'PreconditionFailed', /answers and accepts writes/],
    [
      'a failover without a dead node',
      topology(node('boston', 'standby'), node('chicago', 'standby')),
      'chicago',
      true,
      'PreconditionFailed',
      /no dead primary/,
    ],
  ] as const)('refuses %s', (_, t, to, failover, type, message) => {
    expect(() => choose(t, to, failover)).toThrow(
      expect.objectContaining({ type, message: expect.stringMatching(message) as string }) as Error,
    );
  });

  test('a failover goes to the standby that received most; the dead one is whom it followed', () => {
    const three = topology(
      node('dallas', 'down', { address: 'd', port: 1 }),
      node('austin', 'down', { address: 'a', port: 2 }),
      node('boston', 'standby', { receiveLsn: parseLsn('0/9') }),
      node('chicago', 'standby', { receiveLsn: parseLsn('0/10') }),
    );
    const chosen = chooseNodes({ to: null, failover: true, topology: three }, 'a:2');
    expect([chosen.from.name, chosen.to.name]).toEqual(['austin', 'chicago']);
    expect(() => chooseNodes({ to: null, failover: true, topology: three })).toThrow(/several nodes do not answer/);
  });
});

describe('what an attempt makes of what it finds', () => {
  const plan = { from: { name: 'dallas' }, to: { name: 'chicago', timeline: 1 }, mode: 'stop' } as unknown as FlipPlan;
  const begun = { state: 'begun' } as FlipNote;
  const promoting = { state: 'promoting' } as FlipNote;
  const standby: CandidateState = { is: 'standby', replayLsn: null };
  const promoted: CandidateState = { is: 'primary', timeline: 2 };
  const away: CandidateState = { is: 'unreachable' };

  test.each<[OldState, CandidateState, FlipNote | null, string]>([
    ['primary', standby, null, 'run'],
    ['primary', standby, begun, 'run'],
    ['stopping', standby, begun, 'prove'],
    ['clean', standby, begun, 'prove'],
    ['crashed', standby, begun, 'undo'],
    ['standby', standby, begun, 'undo'],
    ['unknown', standby, begun, 'refuse'],
    ['primary', away, null, 'refuse'],
    ['primary', away, begun, 'undo'],
    ['clean', away, begun, 'undo'],
    ['crashed', away, begun, 'undo'],
    ['clean', away, promoting, 'refuse'],
    ['primary', away, promoting, 'refuse'],
    ['clean', standby, promoting, 'promote'],
    ['clean', promoted, promoting, 'complete'],
    ['clean', promoted, begun, 'complete'],
    ['primary', promoted, promoting, 'complete'],
    ['elsewhere', standby, null, 'promote'],
    ['elsewhere', away, null, 'refuse'],
    ['primary', { is: 'primary', timeline: 1 }, begun, 'refuse'],
  ])('old %s, candidate %j, note %j: %s', (old, candidate, note, act) => {
    expect(decide({ old, candidate }, note, plan).act).toBe(act);
  });

  test('never starts the old primary once a promotion was ordered', () => {
    const olds: OldState[] = ['primary', 'stopping', 'clean', 'crashed', 'standby', 'unknown', 'elsewhere'];
    for (const old of olds) {
      for (const candidate of [standby, promoted, away]) {
        for (const state of ['promoting', 'flipped'] as const) {
          expect(decide({ old, candidate }, { state } as FlipNote, plan).act).not.toMatch(/undo|run/);
        }
      }
    }
  });
});

const facts = (change: Partial<NodeFacts> = {}): NodeFacts => ({
  systemIdentifier: '77',
  inRecovery: false,
  timeline: 1,
  currentLsn: parseLsn('0/100'),
  receivedLsn: null,
  replayLsn: parseLsn('0/100'),
  replayPaused: false,
  receiver: { status: 'streaming', slot: 'chicago', conninfo: "user='a' application_name='x'" },
  senders: [{ pid: 5, state: 'streaming', application_name: 'x' }],
  slots: [{ slot_name: 'chicago', slot_type: 'physical', active: true, active_pid: 5, temporary: false }],
  settings: {
    max_connections: '100',
    max_worker_processes: '8',
    max_wal_senders: '10',
    max_prepared_transactions: '0',
    max_locks_per_transaction: '64',
    max_replication_slots: '10',
    wal_level: 'replica',
    archive_mode: 'on',
    archive_command: 'pgr wal-push',
    recovery_min_apply_delay: '0',
    synchronous_standby_names: '',
  },
  settingSources: {},
  pendingRestart: [],
  baseBackups: 0,
  archiver: { failing: false, lastFailed: null },
  longTransactions: [],
  historyFiles: [],
  lastReplayAgeSeconds: null,
  heartbeatAgeSeconds: null,
  ...change,
});

describe('checks before a flip', () => {
  const failed = (
    from: Partial<NodeFacts>,
    to: Partial<NodeFacts>,
    laterTimelines: number[] = [],
    wal: WalPath = { duty: 'server', receiver: null },
  ): string[] =>
    plannedChecks({
      from: { name: 'dallas', facts: facts(from) },
      to: { name: 'chicago', facts: facts(to) },
      others: 0,
      maxLagBytes: 16,
      laterTimelines,
      wal,
    })
      .filter(({ ok }) => !ok)
      .map(({ check }) => check);
  const set = (settings: Record<string, string>): Partial<NodeFacts> => ({
    settings: { ...facts().settings, ...settings },
  });

  test('a healthy pair passes', () => {
    expect(failed({}, {})).toEqual([]);
  });

  test('servers that do not archive pass where the store streams their WAL; one that archives must not fail', () => {
    const off = set({ archive_mode: 'off' });
    const either: WalPath = { duty: 'either', receiver: null };
    expect(failed(off, off, [], either)).toEqual([]);
    expect(failed({ archiver: { failing: true, lastFailed: 'x' } }, off, [], either)).toEqual(['archive dallas']);
  });

  test('a store with a receiver must have it connected, and does not care what servers archive', () => {
    const off = set({ archive_mode: 'off' });
    const store: WalPath = { duty: 'store', receiver: 'databasus_wal_receiver_' };
    expect(failed(off, off, [], store)).toEqual(['store-receives dallas']);
    const senders = [...facts().senders, { pid: 77, state: 'streaming', application_name: 'databasus_wal_receiver_1' }];
    expect(failed({ ...off, senders }, off, [], store)).toEqual([]);
  });

  test.each<[string, Partial<NodeFacts>, Partial<NodeFacts>, string]>([
    ['another system', {}, { systemIdentifier: '88' }, 'same-system'],
    ['another timeline', {}, { timeline: 2 }, 'same-timeline'],
    ['a receiver that waits', {}, { receiver: { status: 'waiting', slot: null, conninfo: '' } }, 'streaming'],
    ['a receiver whose sender is gone', { senders: [] }, {}, 'streaming'],
    ['a standby too far behind', { currentLsn: parseLsn('0/200') }, {}, 'lag'],
    ['a lag that nobody knows', {}, { replayLsn: null }, 'lag'],
    ['replay that is paused', {}, { replayPaused: true }, 'replay-runs chicago'],
    ['replay with a delay', {}, set({ recovery_min_apply_delay: '5000' }), 'replay-runs chicago'],
    ['an archive that fails', { archiver: { failing: true, lastFailed: 'x' } }, {}, 'archive dallas'],
    ['a candidate that would not archive', {}, set({ archive_mode: 'off' }), 'archive chicago'],
    ['a pending restart', {}, { pendingRestart: ['shared_buffers'] }, 'no-pending-restart chicago'],
    ['a base backup', { baseBackups: 1 }, {}, 'no-base-backup dallas'],
    ['no free sender', {}, set({ max_wal_senders: '1' }), 'free-wal-senders'],
    ['no free slot', {}, set({ max_replication_slots: '1' }), 'free-replication-slots'],
    ['fewer connections', {}, set({ max_connections: '50' }), 'settings-not-lower chicago'],
    ['commits that would wait for nobody', {}, set({ synchronous_standby_names: '*' }), 'commits-can-finish chicago'],
  ])('refuses %s', (_, from, to, check) => {
    expect(failed(from, to)).toContain(check);
  });

  test('refuses a promotion onto a timeline that the archive has and the candidate does not know', () => {
    expect(failed({}, {}, [2])).toEqual(['next-timeline']);
    expect(failed({}, { historyFiles: ['00000002.history'] }, [2])).toEqual([]);
    expect(failed({}, set({ restore_command: 'fetch' }), [2])).toEqual([]);
  });
});

test('logical slots: synchronised failover slots are kept, all others are lost with the reason', () => {
  const slot = (change: Partial<SlotFact>): SlotFact => ({
    slot_name: 's',
    slot_type: 'logical',
    active: true,
    active_pid: 1,
    temporary: false,
    failover: true,
    ...change,
  });
  const fate = (from: SlotFact, to: SlotFact[]): string =>
    logicalSlotFates([from], to)
      .map(({ becomes }) => becomes)
      .join();
  expect(fate(slot({}), [slot({ synced: true })])).toBe('kept');
  expect(fate(slot({}), [slot({ synced: true, temporary: true })])).toBe('lost');
  expect(fate(slot({}), [slot({ synced: true, invalidation_reason: 'wal_removed' })])).toBe('lost');
  expect(fate(slot({ failover: false }), [])).toBe('lost');
  expect(fate(slot({ slot_type: 'physical' }), [])).toBe('');
});

test('commits behind the fork are read from pg_waldump, prepared ones by their own transaction', () => {
  const output = [
    'rmgr: Transaction len (rec/tot):     34/    34, tx:        755, lsn: 0/03000110, prev 0/030000D8, desc: COMMIT 2026-11-21 09:40:13.123456 UTC',
    'rmgr: Transaction len (rec/tot):     34/    34, tx:        756, lsn: 0/03000150, prev 0/03000110, desc: ABORT 2026-11-21 09:40:14.123456 UTC',
    'rmgr: Transaction len (rec/tot):     38/    38, tx:          0, lsn: 0/030001A0, prev 0/03000150, desc: COMMIT_PREPARED 757: 2026-11-21 09:40:15.123456 UTC; inval msgs: catcache 7',
  ].join('\n');
  expect(parseCommits(output)).toEqual([
    { xid: '755', lsn: '0/3000110', time: '2026-11-21T09:40:13.123456Z' },
    { xid: '757', lsn: '0/30001A0', time: '2026-11-21T09:40:15.123456Z' },
  ]);
});

test('keyword strings: quoted values are read, and written so that they can be read', () => {
  expect(upstreamOf("user=repl host='10.0.0.1' port=5433 passfile=/x")).toBe('10.0.0.1:5433');
  expect(upstreamOf('user=repl')).toBeNull();
  const text = conninfoOf({ host: 'h', port: 1, user: "o'neil", password: null }, 'dallas');
  expect(text).toBe("user='o\\'neil' host='h' port='1' application_name='dallas'");
  expect(conninfoValue(text, 'application_name')).toBe('dallas');
});
