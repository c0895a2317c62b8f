/**
 * Routing provider `haproxy` against a real HAProxy in front of a real primary and its standby. Verified: a session through the VIP dies at the fence and
 * no new one reaches the fenced node; a route works at once; a release has no moment in which a standby gets a writer; after a restart of HAProxy the
 * health answers decide; a missing socket, server, right or instance is said by name. Needs: haproxy.
 */
import pg from 'pg';
import { setTimeout as delay } from 'node:timers/promises';

import { createHaproxyRouting } from '../../activities/routing/haproxy.js';
import { createVerifyWrites } from '../../activities/routing/verify-writes.js';
import type { ActivityDeps } from '../../activities/lib/deps.js';
import type { RoutingSession } from '../../activities/lib/routing.js';
import { configSchema } from '../../config/schema.js';
import { destroyAllClusters, startCluster, startStandby, type Cluster } from '../support/cluster.js';
import { destroyAllHaproxies, startHaproxy, type HaproxyOptions, type TestHaproxy } from '../support/haproxy.js';
import { startHealth, type TestHealth } from '../support/health.js';
import { describeWith } from '../support/peer-process.js';
import { quickest } from '../support/quickest.js';

type Role = 'primary' | 'replica' | 'fenced';

describeWith('haproxy')('haproxy', () => {
  let dallas: Cluster;
  let chicago: Cluster;
  let health: { dallas: TestHealth<Role>; chicago: TestHealth<Role> };
  const sessions: RoutingSession[] = [];

  beforeAll(async () => {
    dallas = await startCluster();
    chicago = await startStandby(dallas);
    health = { dallas: await startHealth<Role>('primary'), chicago: await startHealth<Role>('replica') };
  });
  afterEach(async () => {
    await Promise.all(sessions.splice(0).map((session) => session.close()));
    await destroyAllHaproxies();
    health.dallas.say('primary');
    health.chicago.say('replica');
  });
  afterAll(async () => {
    await destroyAllHaproxies();
    await Promise.all([health.dallas.close(), health.chicago.close()]);
    await destroyAllClusters();
  });

  const nodes = (): HaproxyOptions['nodes'] => [
    { name: 'pg-dallas', port: dallas.port, checkPort: health.dallas.port },
    { name: 'chicago', port: chicago.port, checkPort: health.chicago.port },
  ];
  const start = async (options: Partial<HaproxyOptions> = {}): Promise<TestHaproxy> => {
    const haproxy = await startHaproxy({ nodes: nodes(), ...options });
    await settled(haproxy);
    return haproxy;
  };
  const routingOf = (...haproxies: TestHaproxy[]) => {
    const instances = haproxies.map(({ instance, api, stats }) => ({ name: instance, api, stats }));
    const url = `postgresql://postgres@127.0.0.1:${String(haproxies[0]?.port)}/postgres?target_session_attrs=read-write`;
    return { kind: 'haproxy' as const, url, backend: 'postgres_write', servers: { dallas: 'pg-dallas' }, instances };
  };
  const provider = (...haproxies: TestHaproxy[]) =>
    createHaproxyRouting(routingOf(...haproxies), ['dallas', 'chicago']);
  const open = async (...haproxies: TestHaproxy[]): Promise<RoutingSession> => {
    const session = await provider(...haproxies).open(2_000);
    sessions.push(session);
    return session;
  };
  const connect = async (port: number): Promise<pg.Client> => {
    const client = new pg.Client({
      host: '127.0.0.1',
      port,
      user: 'postgres',
      database: 'postgres',
      connectionTimeoutMillis: 3_000,
    });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  const owner = async (port: number): Promise<string> => {
    const client = await connect(port).catch(() => null);
    if (client === null) return 'nobody';
    const { rows } = await client.query<{ port: number }>('select inet_server_port() as port');
    await client.end();
    return rows[0]?.port === dallas.port ? 'dallas' : rows[0]?.port === chicago.port ? 'chicago' : 'unknown';
  };
  const statesOf = async (session: RoutingSession): Promise<Record<string, string>> =>
    Object.fromEntries(
      (await session.servers()).map(({ instance, node, state }) => [`${instance}/${String(node)}`, state]),
    );
  /** Waits until the first checks are through: one server up, as the health answers say. */
  const settled = async (haproxy: TestHaproxy): Promise<void> => {
    const session = await provider(haproxy).open(2_000);
    try {
      await eventually(async () => {
        const rows = await session.servers();
        return (
          rows.filter(({ state }) => state === 'up').length === 1 && rows.every(({ check }) => !check.startsWith('INI'))
        );
      });
    } finally {
      await session.close();
    }
  };

  test('tells which server takes the writes, with its check and sessions', async () => {
    const haproxy = await start();
    const client = await connect(haproxy.port);
    const rows = await (await open(haproxy)).servers();
    expect(rows).toEqual([
      { instance: 'lb1', server: 'pg-dallas', node: 'dallas', state: 'up', check: 'L7OK/200', sessions: 1 },
      { instance: 'lb1', server: 'chicago', node: 'chicago', state: 'down', check: 'L7STS/503', sessions: 0 },
    ]);
    await client.end();
  });

  test('a session through the VIP dies at the fence and no new one reaches the fenced node, although it is healthy', async () => {
    const haproxy = await start();
    const session = await open(haproxy);
    const client = await connect(haproxy.port);
    const died = new Promise<number>((resolve) =>
      client.once('end', () => {
        resolve(performance.now());
      }),
    );
    const before = performance.now();
    await session.fence('dallas');
    expect((await died) - before).toBeLessThan(500);
    expect(await statesOf(session)).toEqual({ 'lb1/dallas': 'maint', 'lb1/chicago': 'down' });
    await expect(client.query('select 1')).rejects.toThrow();
    for (let i = 0; i < 20; i += 1) expect(await owner(haproxy.port)).toBe('nobody');
    // Again: nothing changes, nothing fails.
    await session.fence('dallas');
    expect(await statesOf(session)).toEqual({ 'lb1/dallas': 'maint', 'lb1/chicago': 'down' });
  });

  test('a route takes effect at once, not at the next check', async () => {
    const haproxy = await start();
    const session = await open(haproxy);
    await session.fence('dallas');
    health.chicago.say('primary');
    health.dallas.say('fenced');
    let isFirst = true;
    const routed = async (): Promise<number> => {
      if (!isFirst) await session.fence('chicago');
      isFirst = false;
      const before = performance.now();
      await session.route('chicago');
      expect(await owner(haproxy.port)).toBe('chicago');
      return performance.now() - before;
    };
    expect(await quickest(400, routed)).toBeLessThan(400);
    await session.route('chicago');
    expect(await statesOf(session)).toEqual({ 'lb1/dallas': 'maint', 'lb1/chicago': 'up' });
  });

  test('a route fences another server that is up: never two', async () => {
    const haproxy = await start();
    const session = await open(haproxy);
    const client = await connect(haproxy.port);
    const died = new Promise((resolve) => client.once('end', resolve));
    await session.route('chicago');
    await died;
    expect(await statesOf(session)).toEqual({ 'lb1/dallas': 'maint', 'lb1/chicago': 'up' });
  });

  test.each([
    ['a standby', 'replica'],
    ['a fenced node', 'fenced'],
  ] as const)('after the release of %s there is no moment in which it gets a writer', async (_, role) => {
    const haproxy = await start();
    const session = await open(haproxy);
    await session.fence('dallas');
    health.dallas.say(role);
    health.chicago.say('primary');
    await session.route('chicago');
    const watch = await open(haproxy);
    const seen = new Set<string>();
    const state = { done: false };
    const watching = (async () => {
      while (!state.done) seen.add((await watch.servers()).find(({ node }) => node === 'dallas')?.state ?? '');
    })();
    await session.release('dallas');
    await delay(1_200);
    state.done = true;
    await watching;
    expect([...seen].sort()).not.toContain('up');
    expect(await statesOf(session)).toEqual({ 'lb1/dallas': 'down', 'lb1/chicago': 'up' });
  });

  test('a release that was cut off in the middle is completed by the next one', async () => {
    const haproxy = await start();
    const session = await open(haproxy);
    await session.fence('dallas');
    health.dallas.say('replica');
    await command(haproxy, 'set server postgres_write/pg-dallas state drain');
    await eventually(async () => (await statesOf(session))['lb1/dallas'] === 'down');
    await session.release('dallas');
    // Not forced any more: health alone brings it back.
    health.dallas.say('primary');
    await eventually(async () => (await statesOf(session))['lb1/dallas'] === 'up');
    // And a release of a server that nobody forces leaves its sessions alone.
    const client = await connect(haproxy.port);
    await session.release('dallas');
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await client.end();
  });

  test('a restart of HAProxy after a flip changes nothing: the health answers decide, from the first session on', async () => {
    const haproxy = await start();
    const session = await open(haproxy);
    await session.fence('dallas');
    health.dallas.say('replica');
    health.chicago.say('primary');
    await session.route('chicago');
    await session.release('dallas');
    await session.release('chicago');
    expect(await owner(haproxy.port)).toBe('chicago');
    await haproxy.restart();
    // Just started, HAProxy takes both for up until their first check.
    const owners = await Promise.all(Array.from({ length: 8 }, () => owner(haproxy.port)));
    expect(new Set(owners)).toEqual(new Set(['chicago']));
    await eventually(async () => (await statesOf(session))['lb1/dallas'] === 'down');
    expect(await statesOf(session)).toEqual({ 'lb1/dallas': 'down', 'lb1/chicago': 'up' });
  });

  test('two nodes that both call themselves primary get no writer', async () => {
    const haproxy = await start();
    health.chicago.say('primary');
    const session = await open(haproxy);
    await eventually(async () => (await statesOf(session))['lb1/chicago'] === 'up');
    expect(await owner(haproxy.port)).toBe('nobody');
  });

  test('an API connection that HAProxy closed meanwhile is opened again', async () => {
    const haproxy = await start({
      tcpApi: true,
      edit: (text) => text.replace('stats timeout 10m', 'stats timeout 300ms'),
    });
    const session = await open(haproxy);
    await delay(700);
    await session.fence('dallas');
    expect(await statesOf(session)).toMatchObject({ 'lb1/dallas': 'maint' });
  });

  test('without its socket an HAProxy is RoutingUnavailable by name; looking goes on through the statistics page', async () => {
    const haproxy = await start();
    const session = await open(haproxy);
    await haproxy.stop('SIGKILL');
    await expect(session.fence('dallas')).rejects.toMatchObject({
      type: 'RoutingUnavailable',
      message: containing('haproxy lb1 ('),
    });
    await expect(provider(haproxy).open(500)).rejects.toMatchObject({ type: 'RoutingUnavailable' });
    expect(await session.servers()).toMatchObject([
      { server: 'pg-dallas', node: 'dallas', state: 'unknown' },
      { server: 'chicago', node: 'chicago', state: 'unknown' },
    ]);
    await haproxy.start();
    await settled(haproxy);
    const blind = createHaproxyRouting(routingOf({ ...haproxy, api: `${haproxy.api}.gone` }), ['dallas', 'chicago']);
    const looking = await blind.open(500, { lenient: true });
    expect(await looking.servers()).toMatchObject([
      { node: 'dallas', state: 'up', check: containing('statistics page') },
      { node: 'chicago', state: 'down' },
    ]);
    await expect(looking.route('dallas')).rejects.toMatchObject({
      type: 'RoutingUnavailable',
      message: containing('lb1'),
    });
    await looking.close();
  });

  test('an HAProxy that hangs (SIGSTOP) ends in an error within the bound', async () => {
    const haproxy = await start();
    const session = await provider(haproxy).open(400);
    sessions.push(session);
    process.kill(haproxy.pid(), 'SIGSTOP');
    try {
      const before = performance.now();
      await expect(session.fence('dallas')).rejects.toMatchObject({
        type: 'RoutingUnavailable',
        message: containing('no answer in time'),
      });
      expect(performance.now() - before).toBeLessThan(1_500);
    } finally {
      process.kill(haproxy.pid(), 'SIGCONT');
    }
  });

  test('of two HAProxies both are told; one that is gone fails the fence by name, and the other is fenced all the same', async () => {
    const one = await start({ instance: 'lb1' });
    const two = await start({ instance: 'lb2', tcpApi: true });
    const session = await open(one, two);
    await two.stop('SIGKILL');
    const failure = await session.fence('dallas').catch((error: unknown) => error);
    expect(failure).toMatchObject({
      type: 'RoutingUnavailable',
      message: matching(/haproxy lb2 .*the other 1 did it/),
    });
    await two.start();
    await settled(two);
    expect(await statesOf(session)).toMatchObject({ 'lb1/dallas': 'maint', 'lb2/dallas': 'up' });
    await session.fence('dallas');
    expect(await statesOf(session)).toMatchObject({ 'lb1/dallas': 'maint', 'lb2/dallas': 'maint' });
  });

  test('a missing server or backend, and a socket that may only look, are found out before anything depends on them', async () => {
    const haproxy = await start();
    const routing = routingOf(haproxy);
    await expect(createHaproxyRouting(routing, ['dallas', 'houston']).open(1_000)).rejects.toMatchObject({
      type: 'ConfigInvalid',
      message: containing('no server houston'),
    });
    await expect(createHaproxyRouting({ ...routing, backend: 'nope' }, ['dallas']).open(1_000)).rejects.toMatchObject({
      type: 'ConfigInvalid',
      message: 'haproxy lb1 has no backend "nope"',
    });
    const looker = await startHaproxy({
      nodes: nodes(),
      instance: 'lb3',
      edit: (text) => text.replaceAll('level admin', 'level operator'),
    });
    await expect(provider(looker).open(1_000)).rejects.toMatchObject({
      type: 'NotAllowed',
      message: containing('level operator'),
    });
  });

  test('verify-writes knows the owner behind the VIP, where addresses tell nothing', async () => {
    const haproxy = await start();
    const node = (name: string, { port, binDir }: Cluster) => ({
      // The same data directory on both, as on two machines.
      ...{ name, host: name, address: '127.0.0.1', port, dataDir: `/${name}`, binDir, runtime: { kind: 'process' } },
    });
    const s3 = { kind: 's3', bucket: 'b', accessKeyId: 'env:A', secretAccessKey: 'env:B' };
    const config = configSchema.parse({
      version: 1,
      stateDir: '/nowhere',
      record: { kind: 'directory', path: '/nowhere' },
      environments: {
        shop: {
          postgres: {},
          nodes: [node('chicago', chicago), node('dallas', dallas)],
          routing: routingOf(haproxy),
          backups: s3,
          heartbeat: { enabled: false },
        },
      },
    });
    const store = () => Promise.resolve({ kind: 's3' });
    const deps = { config, store, resolveSecret: () => Promise.resolve('') } as unknown as ActivityDeps;
    const input = { environment: 'shop', run: 'r', runId: 'i', expectNode: 'dallas', expectTimeline: 1 };
    // archive_mode is off in this scene, so the whole check fails; the owner is what counts here.
    const failure = await createVerifyWrites(deps)(input).catch((error: unknown) => error);
    expect(String(failure)).toMatch(/archive-mode/);
    expect(String(failure)).not.toMatch(/write-owner/);
    const other = await createVerifyWrites(deps)({ ...input, expectNode: 'chicago' }).catch((error: unknown) => error);
    expect(String(other)).toMatch(/write-owner: expected chicago, found dallas/);
  });
});

const containing = (text: string): unknown => expect.stringContaining(text) as unknown;
const matching = (pattern: RegExp): unknown => expect.stringMatching(pattern) as unknown;

async function command(haproxy: TestHaproxy, text: string): Promise<void> {
  const { openRuntimeApi } = await import('../../activities/routing/haproxy-api.js');
  const api = await openRuntimeApi({ instance: haproxy.instance, api: haproxy.api, timeoutMs: 1_000 });
  await api.ask(text);
  api.close();
}

async function eventually(look: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await look().catch(() => false))) {
    if (Date.now() > deadline) throw new Error('it did not happen in 10 s');
    await delay(10);
  }
}
