/**
 * Scenario: topology of real servers. Verified: 1 a healthy pair has no contradiction and names the owner of the write address; 2 lag is counted
 * from the primary and never becomes zero because nothing streams; 3 a dead, silent or frozen node and a router that fails are part of the
 * answer, which comes in under two seconds; 4 nothing is left behind by the write probe.
 */
import { readFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';

import { identify, isAlive, type ProcessIdentity } from '../../../activities/lib/process-identity.js';
import type { Pooler, RoutingProvider } from '../../../activities/lib/routing.js';
import { createReadTopology } from '../../../activities/topology/read-topology.js';
import { parseConfig } from '../../../config/load.js';
import type { Topology, TopologyRouter } from '../../../shared/contracts/topology.js';
import { destroyAllClusters, startCluster, startStandby, type Cluster } from '../../support/cluster.js';
import { healthOfCluster, stopAllHealth, until } from '../pg-health/support.js';
import { freePort } from '../../support/ports.js';

jest.setTimeout(120_000);

let primary: Cluster;
let standby: Cluster;
const frozen: ProcessIdentity[] = [];
const servers: { server: Server; sockets: Set<Socket> }[] = [];

beforeAll(async () => {
  primary = await startCluster({ conf: ['archive_mode = on', "archive_command = 'true'"] });
  standby = await startStandby(primary);
});
afterEach(async () => {
  for (const process_ of frozen.splice(0)) if (await isAlive(process_)) process.kill(process_.pid, 'SIGCONT');
  for (const { server, sockets } of servers.splice(0)) {
    sockets.forEach((socket) => socket.destroy());
    await new Promise((resolve) => server.close(resolve));
  }
  await stopAllHealth();
});
afterAll(destroyAllClusters);

type Place = { port: number; health?: number };
type Options = {
  dallas?: Place;
  chicago?: Place;
  write?: string;
  user?: string;
  routing?: () => RoutingProvider;
  poolers?: () => Pooler[];
  poolerConfig?: string;
};

function reader(options: Options = {}) {
  const { dallas = primary, chicago = standby } = options;
  const node = (name: string, { port, health }: Place): string =>
    `      - { name: ${name}, host: ${name}, address: 127.0.0.1, port: ${String(port)}, dataDir: /nowhere/${name}, binDir: /b, runtime: { kind: process }${
      health === undefined ? '' : `, health: { kind: pgr, port: ${String(health)} }`
    } }`;
  const hosts = options.write ?? `127.0.0.1:${String(dallas.port)},127.0.0.1:${String(chicago.port)}`;
  const config = parseConfig(
    `
version: 1
stateDir: /tmp/pgr-state
record: { kind: directory, path: /tmp/pgr-records }
environments:
  shop:
    postgres: { user: ${options.user ?? 'postgres'} }
    nodes:
${node('dallas', dallas)}
${node('chicago', chicago)}
    routing: { kind: multihost, url: 'postgresql://${hosts}/postgres?target_session_attrs=read-write' }
    poolers: [${options.poolerConfig ?? ''}]
    backups: { kind: s3, bucket: b, accessKeyId: 'env:A', secretAccessKey: 'env:B' }
`,
    'test',
  );
  return createReadTopology({
    config,
    resolveSecret: () => Promise.reject(new Error('no secret is configured')),
    routing: options.routing ?? (() => routers([])),
    poolers: options.poolers ?? (() => []),
  });
}

/** `pgr topology` answers in two seconds. */
const TIME_MS = 1_900;

async function read(options: Options = {}, probe = true): Promise<Topology & { ms: number }> {
  const startedAt = performance.now();
  const seen = await reader(options)({ environment: 'shop', probe });
  return { ...seen, ms: performance.now() - startedAt };
}

/** Reads again when a busy machine made it slow; the last look when it is slow each time. */
async function readInTime(options: Options = {}): Promise<Topology & { ms: number }> {
  let seen = await read(options);
  for (let i = 0; i < 3 && seen.ms >= TIME_MS; i += 1) seen = await read(options);
  return seen;
}

/** Reads until `holds`; the last look when it never does, so that the expectation after it says what was there. */
async function readUntil(options: Options, holds: (seen: Topology) => boolean): Promise<Topology> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const seen = await read(options);
    if (holds(seen) || performance.now() > deadline) return seen;
  }
}

function routers(rows: TopologyRouter[]): RoutingProvider {
  const session = { servers: () => Promise.resolve(rows), close: () => Promise.resolve() };
  return { kind: 'haproxy', label: 'lb1', limits: [], open: () => Promise.resolve(session as never) };
}

const nodeOf = (seen: Topology, name: string) => seen.nodes.find((node) => node.name === name)!;

async function freeze(pid: number): Promise<void> {
  frozen.push((await identify(pid))!);
  process.kill(pid, 'SIGSTOP');
}
const postmasterOf = async (cluster: Cluster): Promise<number> =>
  Number((await readFile(path.join(cluster.dataDir, 'postmaster.pid'), 'utf8')).split('\n')[0]);

/** Accepts connections and never says a word, like a host whose packets get lost behind a proxy. */
async function silentPort(): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push({ server, sockets });
  return (server.address() as { port: number }).port;
}

test('a healthy pair: roles, positions, slot, owner of the write address, and no contradiction', async () => {
  const seen = await readUntil({}, ({ contradictions }) => contradictions.length === 0);
  expect(seen.contradictions).toEqual([]);
  expect(seen.advice).toEqual([]);
  expect(nodeOf(seen, 'dallas')).toMatchObject({
    role: 'primary',
    why: null,
    timeline: 1,
    acceptsWrites: true,
    version: expect.stringMatching(/^1\d\.\d+$/) as string,
    lagBytes: null,
    receiver: null,
    health: null,
  });
  expect(nodeOf(seen, 'chicago')).toMatchObject({
    role: 'standby',
    timeline: 1,
    lsn: null,
    lagBytes: 0,
    lagSeconds: null,
    receiver: 'streaming',
    sync: 'walreceiver async',
    slot: `standby_${String(standby.port)}`,
    acceptsWrites: false,
    systemIdentifier: nodeOf(seen, 'dallas').systemIdentifier,
  });
  expect(seen.slots).toEqual([
    expect.objectContaining({
      node: 'dallas',
      slot: `standby_${String(standby.port)}`,
      active: true,
      type: 'physical',
    }),
  ]);
  expect(seen.writeVip.owner).toBe('dallas');
  expect(seen.writeVip.probe).toMatchObject({ ok: true, why: null });
  expect(seen.archiver).toMatchObject({ node: 'dallas', failing: false });
  const [left] = await primary.query("select to_regnamespace('pgr') is null as gone");
  expect(left).toEqual({ gone: true });
});

test('a role that may create nothing probes all the same', async () => {
  await primary.query('create role watcher login');
  await primary.query('grant pg_monitor to watcher');
  const seen = await readUntil({ user: 'watcher' }, ({ contradictions }) => contradictions.length === 0);
  expect(seen.writeVip).toMatchObject({ owner: 'dallas', probe: { ok: true, why: null } });
  expect(seen.contradictions).toEqual([]);
});

test('without a probe nothing is written and the owner is named all the same', async () => {
  const before = await primary.query('select pg_snapshot_xmax(pg_current_snapshot())::text as next');
  const seen = await read({}, false);
  expect(seen.writeVip).toMatchObject({ owner: 'dallas', probe: { ok: true } });
  expect(await primary.query('select pg_snapshot_xmax(pg_current_snapshot())::text as next')).toEqual(before);
});

test('lag is counted from the primary: a standby whose streaming is dead falls behind, and replay that is paused is said', async () => {
  await standby.query('select pg_wal_replay_pause()');
  await primary.query('create table growth as select generate_series(1, 20000) as n');
  const paused = await read();
  expect(nodeOf(paused, 'chicago').lagBytes).toBeGreaterThan(100_000);
  expect(paused.contradictions).toContain('replay is paused on chicago');
  await standby.query('select pg_wal_replay_resume()');
  const [conninfo] = await standby.query<{ value: string }>("select current_setting('primary_conninfo') as value");
  await standby.query("alter system set primary_conninfo = 'host=127.0.0.1 port=1'");
  await standby.query('select pg_reload_conf()');
  const dead = await readUntil({}, (seen) => nodeOf(seen, 'chicago').receiver !== 'streaming');
  await primary.query('insert into growth select generate_series(1, 20000)');
  const later = await read();
  expect(dead.contradictions.join('\n')).toContain('chicago does not stream');
  expect(nodeOf(later, 'chicago').lagBytes).toBeGreaterThan(100_000);
  expect(nodeOf(later, 'chicago').lagSeconds).toBeGreaterThan(0);
  expect(later.contradictions.join('\n')).toMatch(/slot standby_\d+ on dallas is inactive and keeps/);
  await standby.query(`alter system set primary_conninfo = '${conninfo!.value.replaceAll("'", "''")}'`);
  await standby.query('select pg_reload_conf()');
  expect((await readUntil({}, ({ contradictions }) => contradictions.length === 0)).contradictions).toEqual([]);
});

test('a setting that waits for a restart, and an archive that fails, are said', async () => {
  await primary.query('alter system set max_connections = 77');
  await primary.query("alter system set archive_command = 'false'");
  await primary.query('select pg_reload_conf()');
  await primary.query('select pg_switch_wal()');
  const seen = await readUntil({}, ({ archiver }) => archiver?.failing === true);
  expect(seen.contradictions.join('\n')).toMatch(/dallas waits for a restart to take over max_connections/);
  expect(seen.contradictions.join('\n')).toMatch(/dallas fails to archive [0-9A-F]{24}/);
  await primary.query('alter system reset all');
  await primary.query('select pg_reload_conf()');
});

test('a stopped standby is down, and its lag is not known to be anything', async () => {
  await standby.stop();
  const seen = await readInTime();
  expect(nodeOf(seen, 'chicago')).toMatchObject({ role: 'down', lagBytes: null, timeline: null });
  expect(seen.contradictions.join('\n')).toContain('chicago is down: no answer from 127.0.0.1');
  expect(seen.writeVip.owner).toBe('dallas');
  expect(seen.ms).toBeLessThan(TIME_MS);
  await standby.start();
});

test('a host that swallows packets makes its node unknown, never down, in under two seconds', async () => {
  const port = await silentPort();
  const seen = await readInTime({ chicago: { port, health: await silentPort() } });
  expect(seen.ms).toBeLessThan(TIME_MS);
  expect(nodeOf(seen, 'chicago')).toMatchObject({ role: 'unknown', health: 'unknown' });
  expect(seen.contradictions.join('\n')).toContain('the state of chicago is unknown');
  expect(seen.writeVip).toMatchObject({ owner: 'dallas', probe: { ok: true } });
});

test('a frozen primary is unknown: it may still be one', async () => {
  await freeze(await postmasterOf(primary));
  const seen = await readInTime();
  expect(seen.ms).toBeLessThan(TIME_MS);
  expect(nodeOf(seen, 'dallas').role).toBe('unknown');
  expect(seen.contradictions).toContain('no primary; dallas may be one: it does not answer');
  expect(seen.writeVip).toMatchObject({ owner: null, probe: { ok: false } });
  expect(seen.contradictions.join('\n')).toMatch(/how far chicago is behind is unknown/);
});

test('a write address that leads to the standby is refused and names it', async () => {
  const seen = await read({ write: `127.0.0.1:${String(standby.port)}` });
  expect(seen.writeVip).toMatchObject({ owner: 'chicago', probe: { ok: false } });
  expect(seen.contradictions).toContain('the write address leads to chicago, a standby');
});

test('a write address that leads elsewhere has no owner', async () => {
  const other = await startCluster();
  const seen = await read({ write: `127.0.0.1:${String(other.port)}` });
  expect(seen.writeVip).toMatchObject({ owner: null, probe: { ok: true } });
  expect(seen.contradictions).toContain('the write address leads to a server that is none of the nodes');
  const stranger = await read({ chicago: { port: other.port } });
  expect(stranger.contradictions[0]).toBe('2 primaries: dallas and chicago both take writes');
  await other.destroy();
});

test('routers and poolers that cannot be asked are unknown with the reason', async () => {
  const broken = (): never => {
    throw new Error('connect ENOENT /run/haproxy.sock');
  };
  const hangs = (): Pooler[] => [{ name: 'pool1', open: () => new Promise(() => undefined) }];
  const seen = await readInTime({
    routing: broken,
    poolers: hangs,
    poolerConfig: '{ name: pool1, kind: pgbouncer, address: 127.0.0.1, port: 6432 }',
  });
  expect(seen.ms).toBeLessThan(TIME_MS);
  expect(seen.routers).toMatchObject([
    { instance: 'multihost', state: 'unknown', check: 'connect ENOENT /run/haproxy.sock' },
  ]);
  expect(seen.poolers).toMatchObject([{ name: 'pool1', state: 'unknown' }]);
  expect(seen.contradictions).toHaveLength(2);
});

test('pg-health that calls a node fenced, and one that does not answer, contradict its server', async () => {
  const health = await healthOfCluster(primary);
  await until(health, '/primary', 200);
  const agrees = await read({ dallas: { port: primary.port, health: health.port } });
  expect(nodeOf(agrees, 'dallas').health).toBe('primary');
  expect(agrees.contradictions).toEqual([]);
  const silent = await read({ dallas: { port: primary.port, health: await freePort() } });
  expect(silent.contradictions).toEqual(['the health page of dallas does not answer: routers will take it for down']);
});

test('a promoted standby makes two primaries, and lag is unknown then', async () => {
  const third = await startStandby(primary);
  await third.query('select pg_promote(true)');
  const seen = await read({ chicago: { port: third.port } });
  expect(seen.contradictions[0]).toBe('2 primaries: dallas and chicago both take writes');
  expect(seen.advice[0]).toContain('applications write to dallas: stop chicago now');
  expect(nodeOf(seen, 'chicago')).toMatchObject({ timeline: 2 });
  await third.destroy();
  await primary.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active');
});

test('an environment that is not in the config is refused', async () => {
  await expect(reader()({ environment: 'shpo', probe: true })).rejects.toMatchObject({ type: 'EnvironmentUnknown' });
});
