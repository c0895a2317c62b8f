/** Topology without servers: where answers contradict each other, who owns the write address, what pg-health may say, and how it is shown. */
import { contradictionsOf } from '../../activities/topology/contradictions.js';
import type { Seen } from '../../activities/topology/contradiction-rule.js';
import { describeNode, describeSlots, type LookedAt } from '../../activities/topology/describe-node.js';
import type { ServerAnswer } from '../../activities/topology/ask-node.js';
import { readHealth } from '../../activities/topology/node-health.js';
import { describeWriteVip } from '../../activities/topology/write-vip.js';
import type { ProbeAnswer } from '../../activities/topology/write-probe.js';
import { renderTopology } from '../../cli/render/topology.js';
import { createStyle } from '../../cli/render/style.js';
import type { NodeConfig } from '../../config/schema.js';
import type {
  NodeRole,
  Topology,
  TopologyNode,
  TopologyRouter,
  TopologySlot,
} from '../../shared/contracts/topology.js';
import { fenceFileFor, parseFenceMarker } from '../../shared/fence-file.js';
import type { Lsn } from '../../shared/lsn.js';
import { healthOf, statusOf, type ServerState } from '../../workers/pg-health-answer.js';
import { healthPlaceOf } from '../../workers/pg-health-start.js';
import { parseConfig } from '../../config/load.js';
import { CONFIG, fakeTemporal, pgr } from '../support/cli-harness.js';

const SYSTEM = '7412345678901234567';

function node(name: string, change: Partial<TopologyNode> = {}): TopologyNode {
  return {
    name,
    host: name,
    address: '10.0.0.1',
    port: 5432,
    role: 'standby',
    why: null,
    timeline: 2,
    lsn: null,
    receiveLsn: '0/5000060' as Lsn,
    replayLsn: '0/5000060' as Lsn,
    lagBytes: 0,
    lagSeconds: null,
    systemIdentifier: SYSTEM,
    version: '18.6',
    receiver: 'streaming',
    sync: `${name} async`,
    slot: name,
    acceptsWrites: false,
    replayPaused: false,
    pendingRestart: [],
    health: 'standby',
    ...change,
  };
}
const PRIMARY: Partial<TopologyNode> = {
  role: 'primary',
  lsn: '0/5000060' as Lsn,
  receiveLsn: null,
  replayLsn: null,
  lagBytes: null,
  receiver: null,
  sync: null,
  slot: null,
  acceptsWrites: true,
  health: 'primary',
};
const SILENT: Partial<TopologyNode> = {
  timeline: null,
  receiveLsn: null,
  replayLsn: null,
  lagBytes: null,
  systemIdentifier: null,
  version: null,
  receiver: null,
  sync: null,
  slot: null,
  acceptsWrites: null,
  health: 'unknown',
};
const slot = (change: Partial<TopologySlot> = {}): TopologySlot => ({
  node: 'dallas',
  slot: 'chicago',
  type: 'physical',
  active: true,
  retainedBytes: 0,
  walStatus: 'reserved',
  failover: false,
  ...change,
});
const router = (name: string, change: Partial<TopologyRouter> = {}): TopologyRouter => ({
  instance: 'lb1',
  server: name,
  node: name,
  state: name === 'dallas' ? 'up' : 'down',
  check: 'L7STS/503',
  sessions: 1,
  ...change,
});

/** Nothing wrong with it. */
function good(): Seen {
  return {
    environment: 'production',
    writeVip: {
      address: 'postgresql://10.0.0.10:5432/shop?target_session_attrs=read-write',
      owner: 'dallas',
      probe: { ok: true, ms: 3, why: null },
    },
    nodes: [node('dallas', PRIMARY), node('chicago')],
    slots: [slot()],
    routers: [router('dallas'), router('chicago')],
    poolers: [{ name: 'pool1', state: 'active', why: null, waiting: 0 }],
    archiver: { node: 'dallas', failing: false, lastArchived: '000000020000000000000004', lastFailed: null },
  };
}
const withNode = (name: string, change: Partial<TopologyNode>): Seen => ({
  ...good(),
  nodes: good().nodes.map((one) => (one.name === name ? { ...one, ...change } : one)),
});
const texts = (seen: Seen): string[] => contradictionsOf(seen).map(({ text }) => text);

test('answers that fit together contradict nothing', () => {
  expect(texts(good())).toEqual([]);
});

const vip = (change: Partial<Seen['writeVip']>): Seen => ({ ...good(), writeVip: { ...good().writeVip, ...change } });
const refused = { ok: false, ms: 3, why: '10.0.0.10:5432 is read-only' };

const CASES: [string, Seen, string[]][] = [
  ['two primaries', withNode('chicago', PRIMARY), ['2 primaries: dallas and chicago both take writes']],
  [
    'two primaries, one of them read-only',
    withNode('chicago', { ...PRIMARY, acceptsWrites: false }),
    [
      '2 primaries: dallas and chicago are both primary',
      'chicago is the primary and refuses writes: default_transaction_read_only is on',
    ],
  ],
  [
    'no primary, all answer',
    withNode('dallas', { ...node('dallas'), slot: null }),
    ['no primary', 'the write address leads to dallas, a standby', 'router lb1 says up for dallas, which is a standby'],
  ],
  [
    'no primary, one is silent',
    { ...withNode('dallas', { ...SILENT, role: 'unknown', why: 'no answer in time' }), routers: [] },
    [
      'no primary; dallas may be one: it does not answer',
      'the state of dallas is unknown: no answer in time',
      'the owner of the write address, dallas, is not seen to be the primary',
    ],
  ],
  [
    'a dead standby',
    withNode('chicago', { ...SILENT, role: 'down', why: 'connection refused' }),
    ['chicago is down: connection refused'],
  ],
  [
    'a fenced dead node is as it should be',
    withNode('chicago', { ...SILENT, role: 'down', why: 'connection refused', health: 'fenced' }),
    ['chicago is down: connection refused'],
  ],
  [
    'a dead node that its health page calls primary',
    withNode('chicago', { ...SILENT, role: 'down', why: 'connection refused', health: 'primary' }),
    ['chicago is down: connection refused', 'the health page of chicago says primary, its server does not answer'],
  ],
  [
    'a read-only primary',
    withNode('dallas', { acceptsWrites: false }),
    ['dallas is the primary and refuses writes: default_transaction_read_only is on'],
  ],
  [
    'a standby of another system',
    withNode('chicago', { systemIdentifier: '1', lagBytes: null }),
    [
      `chicago is a standby of another system (1) than dallas (${SYSTEM})`,
      'how far chicago is behind is unknown: its position cannot be compared',
    ],
  ],
  [
    'a timeline behind',
    withNode('chicago', { timeline: 1 }),
    ['chicago is on timeline 1, behind dallas on timeline 2'],
  ],
  [
    'a timeline ahead',
    withNode('chicago', { timeline: 3 }),
    ['chicago is on timeline 3, ahead of dallas on timeline 2'],
  ],
  [
    'unknown lag',
    withNode('chicago', { lagBytes: null }),
    ['how far chicago is behind is unknown: its position cannot be compared'],
  ],
  ['no WAL receiver', withNode('chicago', { receiver: null }), ['chicago does not stream: it has no WAL receiver']],
  [
    'a receiver that waits',
    withNode('chicago', { receiver: 'waiting' }),
    ['chicago does not stream: its WAL receiver is waiting'],
  ],
  [
    'a receiver that is hidden',
    withNode('chicago', { receiver: 'hidden' }),
    ['whether chicago streams is hidden from the role that asks'],
  ],
  ['replay is paused', withNode('chicago', { replayPaused: true }), ['replay is paused on chicago']],
  [
    'a pending restart',
    withNode('dallas', { pendingRestart: ['max_connections', 'wal_level'] }),
    ['dallas waits for a restart to take over max_connections and wal_level'],
  ],
  [
    'a primary that is called standby',
    withNode('dallas', { health: 'standby' }),
    ['the health page of dallas says standby, its server is primary'],
  ],
  [
    'a primary that is called down',
    withNode('dallas', { health: 'down' }),
    ['the health page of dallas says down, its server is primary'],
  ],
  [
    'a primary that is fenced',
    withNode('dallas', { health: 'fenced' }),
    ['dallas is fenced (its server says: primary)'],
  ],
  [
    'a standby that is called primary',
    withNode('chicago', { health: 'primary' }),
    ['the health page of chicago says primary, its server is standby'],
  ],
  [
    'a health page that is silent',
    withNode('chicago', { health: 'unknown' }),
    ['the health page of chicago does not answer: routers will take it for down'],
  ],
  ['no health page', withNode('chicago', { health: null }), []],
  [
    'the write address on a standby',
    vip({ owner: 'chicago', probe: refused }),
    ['the write address leads to chicago, a standby'],
  ],
  [
    'a refused probe',
    vip({ owner: null, probe: refused }),
    ['the write address refused the write probe: 10.0.0.10:5432 is read-only'],
  ],
  [
    'a refused probe of the primary',
    vip({ probe: refused }),
    ['the write address (it leads to dallas) refused the write probe: 10.0.0.10:5432 is read-only'],
  ],
  ['an owner that is no node', vip({ owner: null }), ['the write address leads to a server that is none of the nodes']],
  [
    'an owner that is not seen to be primary',
    {
      ...withNode('chicago', { ...SILENT, role: 'unknown', why: 'late' }),
      writeVip: { ...good().writeVip, owner: 'chicago' },
    },
    ['the state of chicago is unknown: late', 'the owner of the write address, chicago, is not seen to be the primary'],
  ],
  [
    'two servers up',
    { ...good(), routers: [router('dallas'), router('chicago', { state: 'up' })] },
    ['router lb1 has 2 servers up: dallas and chicago', 'router lb1 says up for chicago, which is a standby'],
  ],
  [
    'up for what is no node',
    { ...good(), routers: [router('dallas'), router('old', { state: 'up', node: null })] },
    ['router lb1 has 2 servers up: dallas and old', 'router lb1 says up for old, which is no node of the config'],
  ],
  [
    'the primary in maint at one of two routers',
    {
      ...good(),
      routers: [
        ...good().routers,
        router('dallas', { instance: 'lb2', state: 'maint', check: '' }),
        router('chicago', { instance: 'lb2' }),
      ],
    },
    ['router lb2 holds the primary dallas for maint'],
  ],
  [
    'the primary down at the router',
    { ...good(), routers: [router('dallas', { state: 'down' }), router('chicago')] },
    ['router lb1 holds the primary dallas for down (L7STS/503)'],
  ],
  [
    'no server at all',
    { ...good(), routers: [router('other', { node: null, state: 'down' })] },
    ['router lb1 has no server up'],
  ],
  [
    'a router that cannot be asked',
    { ...good(), routers: [router('*', { node: null, state: 'unknown', check: 'connect ENOENT' })] },
    ['what router lb1 does is unknown: connect ENOENT'],
  ],
  [
    'a paused pooler',
    { ...good(), poolers: [{ name: 'pool1', state: 'paused', why: null, waiting: 7 }] },
    ['pooler pool1 is paused, 7 clients wait'],
  ],
  [
    'a silent pooler',
    { ...good(), poolers: [{ name: 'pool1', state: 'unknown', why: 'refused', waiting: null }] },
    ['the state of pooler pool1 is unknown: refused'],
  ],
  ['a missing slot', { ...good(), slots: [] }, ['slot chicago of chicago is missing on dallas']],
  [
    'an inactive slot',
    { ...good(), slots: [slot({ active: false, retainedBytes: 5e6 })] },
    ['slot chicago on dallas is inactive and keeps 5 MB of WAL'],
  ],
  [
    'a slot that was never used',
    { ...good(), slots: [slot(), slot({ slot: 'x', active: false, retainedBytes: null })] },
    [],
  ],
  [
    'a slot that keeps much',
    { ...good(), slots: [slot({ retainedBytes: 5e9 })] },
    ['slot chicago on dallas keeps 5000 MB of WAL'],
  ],
  [
    'a lost slot',
    { ...good(), slots: [slot({ walStatus: 'lost' })] },
    ['slot chicago on dallas is lost: WAL that it needs is removed, its reader must be rebuilt'],
  ],
  [
    'a slot that is nearly lost',
    { ...good(), slots: [slot({ walStatus: 'unreserved' })] },
    ['slot chicago on dallas is about to be lost: it is over max_slot_wal_keep_size'],
  ],
  [
    'a failing archive',
    {
      ...good(),
      archiver: { node: 'dallas', failing: true, lastArchived: null, lastFailed: '000000020000000000000005' },
    },
    ['dallas fails to archive 000000020000000000000005 (last archived: nothing)'],
  ],
];

test.each(CASES)('%s', (_title, seen, expected) => {
  const found = contradictionsOf(seen);
  expect(found.map(({ text }) => text)).toEqual(expected);
  for (const { advice } of found) expect(advice.length).toBeGreaterThan(10);
});

test('of two primaries the one that applications do not write to is to be stopped', () => {
  const [first] = contradictionsOf(withNode('chicago', PRIMARY));
  expect(first?.advice).toBe(
    'applications write to dallas: stop chicago now, then `pgr rebuild-standby production chicago`',
  );
});

function server(change: Partial<ServerAnswer> = {}): ServerAnswer {
  return {
    inRecovery: true,
    readOnly: false,
    systemIdentifier: SYSTEM,
    version: '18.6',
    timeline: 1,
    lsn: null,
    receiveLsn: '0/5000000',
    replayLsn: '0/5000000',
    replayAgeSeconds: 7.5,
    receiver: 'streaming',
    replayPaused: false,
    pendingRestart: [],
    slotName: 'chicago',
    clusterName: '',
    receiverConninfo: "user=r host=10.0.0.1 application_name='chi cago' fallback_application_name=walreceiver",
    slots: [],
    senders: [],
    archiver: { mode: 'on', failing: false, lastArchived: null, lastFailed: null },
    startedAt: '1795253813.906123',
    ...change,
  };
}
const looked = (name: string, answer: ServerAnswer | NodeRole): LookedAt => ({
  node: {
    name,
    host: name,
    address: `10.0.0.${name === 'dallas' ? '1' : '2'}`,
    port: 5432,
    dataDir: `/srv/${name}`,
  } as NodeConfig,
  look:
    typeof answer === 'object'
      ? { outcome: 'answered', server: answer }
      : { outcome: answer === 'down' ? 'down' : 'unknown', why: 'no answer' },
});
const primary = (change: Partial<ServerAnswer> = {}): ServerAnswer =>
  server({
    inRecovery: false,
    lsn: '0/5000100',
    receiveLsn: null,
    replayLsn: null,
    receiver: null,
    slotName: '',
    ...change,
  });

describe('lag', () => {
  const lagOf = (standby: ServerAnswer, ...others: LookedAt[]): Pick<TopologyNode, 'lagBytes' | 'lagSeconds'> => {
    const own = looked('chicago', standby);
    const { lagBytes, lagSeconds } = describeNode(own, [...others, own], null);
    return { lagBytes, lagSeconds };
  };

  test('is the distance to the primary, with the age of what was replayed last', () => {
    expect(lagOf(server(), looked('dallas', primary()))).toEqual({ lagBytes: 0x100, lagSeconds: 7.5 });
  });
  test('is zero when it is caught up, or was asked a moment later, and has no age then', () => {
    expect(lagOf(server({ replayLsn: '0/5000100' }), looked('dallas', primary()))).toEqual({
      lagBytes: 0,
      lagSeconds: null,
    });
    expect(lagOf(server({ replayLsn: '0/5000200' }), looked('dallas', primary()))).toEqual({
      lagBytes: 0,
      lagSeconds: null,
    });
  });
  test.each([
    ['without a primary', server(), []],
    ['with a primary that does not answer', server(), [looked('dallas', 'unknown')]],
    ['with two primaries', server(), [looked('dallas', primary()), looked('austin', primary())]],
    ['with a primary of another system', server(), [looked('dallas', primary({ systemIdentifier: '1' }))]],
    ['with a primary on another timeline', server(), [looked('dallas', primary({ timeline: 2 }))]],
    ['of a standby that says no position', server({ replayLsn: null }), [looked('dallas', primary())]],
  ])('is unknown %s, never zero', (_title, standby, others) => {
    expect(lagOf(standby, ...others).lagBytes).toBeNull();
  });
});

describe('the sender of a standby is found', () => {
  const syncOf = (standby: ServerAnswer, senders: ServerAnswer['senders']): string | null => {
    const own = looked('chicago', standby);
    return describeNode(
      own,
      [looked('dallas', primary({ senders })), looked('austin', server({ slotName: 'austin' })), own],
      null,
    ).sync;
  };
  const sender = (applicationName: string, slot_: string | null, sync = 'async') => ({
    slot: slot_,
    applicationName,
    address: null,
    sync,
  });

  test.each([
    ['by its slot', server(), [sender('x', 'austin'), sender('y', 'chicago', 'sync')], 'y sync'],
    [
      'by the application_name of its receiver',
      server({ slotName: '' }),
      [sender('x', null), sender('chi cago', null)],
      'chi cago async',
    ],
    [
      'by its cluster_name',
      server({ slotName: '', clusterName: 'x' }),
      [sender('x', null), sender('y', null)],
      'x async',
    ],
    ['by nothing that two share', server({ slotName: '' }), [sender('chicago', null), sender('chicago', null)], null],
  ])('%s', (_title, standby, senders, expected) => {
    expect(syncOf(standby, senders)).toBe(expected);
  });
});

test('copies of logical slots that a standby keeps are not shown as inactive', () => {
  const row = {
    slot: 'cdc',
    type: 'logical' as const,
    active: false,
    retainedBytes: 5,
    walStatus: 'reserved',
    failover: true,
  };
  const slots = [
    { ...row, synced: true },
    { ...row, slot: 'own', synced: false },
  ];
  expect(describeSlots([looked('chicago', server({ slots }))]).map((one) => one.slot)).toEqual(['own']);
});

describe('the owner of the write address', () => {
  const mark = { systemIdentifier: SYSTEM, startedAt: '1', dataDir: '/srv/dallas', address: '10.0.0.1', port: 5432 };
  const answer = (change: Partial<ProbeAnswer> = {}): ProbeAnswer => ({
    target: 'vip:5432',
    server: mark,
    accepted: true,
    ms: 3,
    why: null,
    ...change,
  });
  const ownerOf = (answers: ProbeAnswer[], ...looks: LookedAt[]): Topology['writeVip'] =>
    describeWriteVip({ routing: { kind: 'multihost', url: 'postgresql://vip/' } }, answers, looks);
  const [dallas, chicago] = [
    looked('dallas', primary({ startedAt: '1' })),
    looked('chicago', server({ startedAt: '2' })),
  ];

  test('is the node whose server was started in the same microsecond, behind any proxy or container', () => {
    const inContainer = { ...mark, dataDir: '/var/lib/postgresql/18/docker', address: '172.17.0.2' };
    expect(ownerOf([answer({ server: inContainer })], dallas, chicago).owner).toBe('dallas');
    expect(
      ownerOf([answer({ server: { ...mark, startedAt: '2' }, accepted: false, why: 'is read-only' })], dallas, chicago),
    ).toMatchObject({
      owner: 'chicago',
      probe: { ok: false, why: 'vip:5432 is read-only' },
    });
  });
  test('is known by data directory or address when the node itself is silent, unless two fit', () => {
    expect(ownerOf([answer()], looked('dallas', 'unknown'), chicago).owner).toBe('dallas');
    const twin = looked('twin', 'unknown');
    twin.node.dataDir = '/srv/dallas';
    expect(ownerOf([answer()], looked('dallas', 'unknown'), twin).owner).toBeNull();
    expect(ownerOf([answer({ server: { ...mark, startedAt: '3' } })], dallas, chicago).owner).toBeNull();
  });
  test('is the first host of several that takes writes; nobody when none does', () => {
    const standby = answer({ target: 'b', server: { ...mark, startedAt: '2' }, accepted: false, why: 'is read-only' });
    const dead = answer({ target: 'a', server: null, accepted: false, why: 'no answer' });
    expect(ownerOf([dead, standby, answer()], dallas, chicago)).toMatchObject({
      owner: 'dallas',
      probe: { ok: true, ms: 3 },
    });
    expect(ownerOf([dead, standby], dallas, chicago)).toMatchObject({
      owner: null,
      probe: { ok: false, why: 'a no answer; b is read-only' },
    });
  });
});

describe('a health page', () => {
  type Reply = { status: number; body?: Record<string, unknown> };
  const ask = (health: NodeConfig['health'], replies: Record<string, Reply>, role: NodeRole = 'primary') =>
    readHealth({ address: '10.0.0.1', health }, Promise.resolve(role), (url) => {
      const reply = replies[url];
      return Promise.resolve(reply === undefined ? null : { body: {}, ...reply });
    });
  const own: NodeConfig['health'] = { kind: 'pgr', port: 8009, listen: '0.0.0.0' };
  const OWN = 'http://10.0.0.1:8009/health';
  const patroni: NodeConfig['health'] = { kind: 'patroni', url: 'http://p:8008/' };
  const P = 'http://p:8008/patroni';
  const pages: NodeConfig['health'] = { kind: 'http', primary: 'http://h/primary', replica: 'http://h/replica' };
  const onePage: NodeConfig['health'] = { kind: 'http', primary: 'http://h/primary' };

  test.each<[string, NodeConfig['health'], Record<string, Reply>, NodeRole, string | null]>([
    ['none', undefined, {}, 'primary', null],
    [
      'ours: primary',
      own,
      { [OWN]: { status: 200, body: { role: 'primary', acceptsWrites: true, fenced: false } } },
      'primary',
      'primary',
    ],
    [
      'ours: read-only',
      own,
      { [OWN]: { status: 200, body: { role: 'primary', acceptsWrites: false } } },
      'primary',
      'down',
    ],
    [
      'ours: fenced',
      own,
      { [OWN]: { status: 200, body: { role: 'primary', acceptsWrites: true, fenced: true } } },
      'primary',
      'fenced',
    ],
    ['ours: standby', own, { [OWN]: { status: 200, body: { role: 'standby' } } }, 'standby', 'standby'],
    ['ours: down', own, { [OWN]: { status: 503, body: { role: 'down' } } }, 'down', 'down'],
    ['ours: something else on its port', own, { [OWN]: { status: 200 } }, 'primary', 'unknown'],
    ['ours: silent', own, {}, 'primary', 'unknown'],
    [
      'Patroni: leader',
      patroni,
      { [P]: { status: 200, body: { state: 'running', role: 'primary' } } },
      'primary',
      'primary',
    ],
    [
      'Patroni: leader of an older one',
      patroni,
      { [P]: { status: 200, body: { state: 'running', role: 'master' } } },
      'primary',
      'primary',
    ],
    [
      'Patroni: replica',
      patroni,
      { [P]: { status: 200, body: { state: 'streaming', role: 'replica' } } },
      'standby',
      'standby',
    ],
    [
      'Patroni: stopped',
      patroni,
      { [P]: { status: 503, body: { state: 'stopped', role: 'replica' } } },
      'down',
      'down',
    ],
    ['Patroni: silent', patroni, {}, 'primary', 'unknown'],
    [
      'pages: primary',
      pages,
      { 'http://h/primary': { status: 200 }, 'http://h/replica': { status: 503 } },
      'primary',
      'primary',
    ],
    [
      'pages: replica',
      pages,
      { 'http://h/primary': { status: 503 }, 'http://h/replica': { status: 200 } },
      'standby',
      'standby',
    ],
    [
      'pages: neither',
      pages,
      { 'http://h/primary': { status: 503 }, 'http://h/replica': { status: 503 } },
      'primary',
      'down',
    ],
    ['pages: one is silent', pages, { 'http://h/primary': { status: 503 } }, 'primary', 'unknown'],
    ['one page: no fits a standby', onePage, { 'http://h/primary': { status: 503 } }, 'standby', 'standby'],
    ['one page: no does not fit a primary', onePage, { 'http://h/primary': { status: 503 } }, 'primary', 'down'],
  ])('%s', async (_title, health, replies, role, expected) => {
    expect(await ask(health, replies, role)).toBe(expected);
  });
});

describe('pg-health', () => {
  const up = (change: Partial<Extract<ServerState, { kind: 'answered' }>> = {}): ServerState => ({
    kind: 'answered',
    askedAt: 1_000,
    inRecovery: false,
    readOnly: false,
    lsn: '0/1',
    receiver: null,
    ...change,
  });
  const fence = (fenced = false, readAt = 1_000) => ({ fenced, why: fenced ? 'flip' : null, readAt });
  const codes = (server_: ServerState, fence_ = fence(), now = 1_100): number[] =>
    (['/primary', '/replica', '/health'] as const).map((path) => statusOf(path, healthOf(server_, fence_, now)));

  test.each([
    ['a primary', codes(up()), [200, 503, 200]],
    ['a read-only primary', codes(up({ readOnly: true })), [503, 503, 200]],
    ['a fenced primary', codes(up(), fence(true)), [503, 503, 200]],
    ['a streaming standby', codes(up({ inRecovery: true, receiver: 'streaming' })), [503, 200, 200]],
    ['a standby without WAL receiver', codes(up({ inRecovery: true })), [503, 503, 200]],
    ['a standby whose receiver may not be seen', codes(up({ inRecovery: true, receiver: 'hidden' })), [503, 503, 200]],
    ['a server that is down', codes({ kind: 'down', why: 'refused' }), [503, 503, 503]],
    ['an answer of 300 ms ago', codes(up(), fence(false, 1_290), 1_300), [200, 503, 200]],
    ['an answer of more than 300 ms ago', codes(up(), fence(false, 1_290), 1_301), [503, 503, 503]],
    ['a fence whose look is late on a busy machine', codes(up({ askedAt: 1_990 }), fence(), 2_000), [200, 503, 200]],
    [
      'a fence that could not be read for more than a second',
      codes(up({ askedAt: 1_990 }), fence(), 2_001),
      [503, 503, 200],
    ],
  ])('%s', (_title, actual, expected) => {
    expect(actual).toEqual(expected);
  });

  test('a node that two environments have must be named with one of them', () => {
    const withHealth = CONFIG.replace(
      'runtime: { kind: process }',
      'runtime: { kind: process }\n        health: { kind: pgr, port: 8009 }',
    );
    const one = withHealth
      .slice(withHealth.indexOf('  lab:'))
      .replace('  lab:', '  prod:')
      .replaceAll('/tmp/dallas', '/tmp/other');
    const config = parseConfig(`${withHealth.trimEnd()}\n${one}`, 'test');
    const secret = (): Promise<string> => Promise.resolve('');
    expect(() => healthPlaceOf(config, { node: 'dallas' }, secret)).toThrow('node dallas is in lab and prod');
    expect(healthPlaceOf(config, { node: 'dallas', environment: 'prod' }, secret)).toMatchObject({
      environment: 'prod',
      listen: { host: '127.0.0.1', port: 8009 },
    });
  });

  test('a fence marker is found by environment and node, and read strictly', () => {
    expect(fenceFileFor('/var/lib/pgr/', 'shop', 'dallas')).toBe('/var/lib/pgr/fences/shop-dallas.json');
    const marker = { api: 1, environment: 'e', node: 'n', run: 'r', runId: 'i', why: 'w', at: 't' };
    expect(parseFenceMarker(JSON.stringify(marker))).toEqual(marker);
    for (const text of ['', 'null', '[]', '{"api":2}', JSON.stringify({ ...marker, node: 1 })])
      expect(parseFenceMarker(text)).toBeNull();
  });
});

describe('pgr topology', () => {
  const shown = (seen: Seen): Topology => {
    const found = contradictionsOf(seen);
    return { ...seen, contradictions: found.map(({ text }) => text), advice: found.map(({ advice }) => advice) };
  };
  const style = createStyle({ color: false }, { LANG: 'C.UTF-8' });
  const render = (seen: Seen, columns = 80): string => renderTopology(shown(seen), { style, columns, probed: true });

  test('is a table that a tired person can read', () => {
    expect(render(good())).toBe(
      [
        'NODE     ROLE     TL  LSN        LAG  HEALTH   ROUTER',
        'dallas   primary   2  0/5000060    -  primary  up',
        'chicago  standby   2  0/5000060  0 B  standby  down',
        '',
        'writes:   dallas (a write was taken and rolled back, 3 ms)',
        'through:  10.0.0.10:5432/shop',
        'archive:  dallas, last 000000020000000000000004',
        'slots:    chicago on dallas (active, 0 B)',
        'poolers:  pool1 active',
        `server:   PostgreSQL 18.6, system ${SYSTEM}`,
        '',
        'production: no contradictions',
        '',
      ].join('\n'),
    );
  });

  test('ends with what is wrong and what to do about it, inside 80 columns', () => {
    const seen = withNode('chicago', { receiver: null, lagBytes: null, health: 'unknown' });
    const text = render(seen);
    expect(text).toContain(
      'production: 3 contradictions\n✗ chicago does not stream: it has no WAL receiver\n  > read its server log',
    );
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
    expect(text).toMatch(/chicago +standby +2 +0\/5000060 +\? /);
  });

  test('long names and far positions still fit', () => {
    const far = 'FFFFFFFF/FFFFFFFF' as Lsn;
    const name = 'a-node-with-a-name-of-forty-one-characters';
    const seen: Seen = {
      ...good(),
      nodes: [
        node('dallas', { ...PRIMARY, lsn: far }),
        node(name, { replayLsn: far, lagBytes: 12e9, lagSeconds: 8_040 }),
      ],
    };
    const table = render(seen).split('\n').slice(0, 3);
    for (const line of table) expect(line.length).toBeLessThanOrEqual(80);
    expect(table[2]).toContain('12 GB, 2 h 14 min');
  });

  test('a router that differs between instances shows both words, one that is silent a question mark', () => {
    const two = { ...good(), routers: [...good().routers, router('dallas', { instance: 'lb2', state: 'maint' })] };
    expect(render(two)).toMatch(/dallas .*up\/maint\n/);
    const silent = { ...good(), routers: [router('*', { node: null, state: 'unknown' })] };
    expect(render(silent)).toMatch(/dallas .* \?\n/);
  });

  test('exits 0 when all fits together and 5 when it does not; the JSON is the whole answer', async () => {
    const fine = await pgr(['topology', 'lab', '--json'], {
      fake: fakeTemporal({ answers: { topology: shown(good()) } }),
    });
    expect(fine.code).toBe(0);
    expect(fine.json()).toEqual({ api: 1, ...shown(good()) });
    const answers = { topology: shown(withNode('chicago', PRIMARY)) };
    const wrong = await pgr(['topology', 'lab'], { fake: fakeTemporal({ answers }) });
    expect(wrong.code).toBe(5);
    expect(wrong.out).toContain('2 primaries: dallas and chicago both take writes');
  });

  test('an environment that there is not is exit 3', async () => {
    expect((await pgr(['topology', 'lba'])).code).toBe(3);
  });

  test('--no-probe asks the workflow to write nothing', async () => {
    const help = await pgr(['topology', '--help'], { config: null });
    expect(help.out).toContain('--no-probe');
    expect(help.out).toContain('exit 5');
    const asked = await pgr(['topology', 'lab', '--no-probe'], {
      fake: fakeTemporal({ answers: { topology: shown(good()) } }),
    });
    expect(asked.out).toContain('asked, nothing was written');
  });
});
