/**
 * Scenario: what stands between clients and servers dies in the middle of a flip, each time at one place. Verified: (1) the answer says so; (2) those routers and
 * poolers that live lead to the node that takes writes; (3) nobody stays paused; (4) the next attempt completes, also after HAProxy was started anew;
 * (5) no acknowledged row is lost. Needs: haproxy, pgbouncer.
 */
import pg from 'pg';

import { readFence } from '../../activities/lib/fence-file.js';
import { findStrays, startObserver, type Observer } from '../support/flip-observer.js';
import { destroyAllFlipScenes, waitFor } from '../support/flip-scene.js';
import { createFlipSteps, type FlipSteps, type StepEnd } from '../support/flip-steps.js';
import { destroyAllHaproxies } from '../support/haproxy.js';
import { describeWith } from '../support/peer-process.js';
import { destroyAllPgbouncers } from '../support/pgbouncer.js';
import { destroyAllRoutedScenes, makeRoutedScene, type RoutedScene } from '../support/routed-scene.js';

jest.setTimeout(120_000);

describeWith('haproxy', 'pgbouncer')('in the middle of a flip', () => {
  let steps: FlipSteps;
  let observer: Observer;
  beforeAll(async () => {
    steps = await createFlipSteps();
  });
  afterAll(() => steps.destroy());
  afterEach(async () => {
    await observer.stop();
    await destroyAllRoutedScenes();
    await destroyAllPgbouncers();
    await destroyAllHaproxies();
    await destroyAllFlipScenes();
  });

  async function begin(options: Parameters<typeof makeRoutedScene>[1] = {}) {
    const routed = await makeRoutedScene({ distDir: steps.distDir, deadlineMs: 5_000 }, options);
    observer = startObserver(routed);
    await observer.progress();
    const input = await routed.scene.flipInput('r1');
    const attempt = (faults: string[] = []): Promise<StepEnd> =>
      steps.start('flipWrites', routed.configFile, input, faults).ended;
    /** One attempt, with `trouble` made while it is frozen at `point`. */
    const troubled = async (point: string, trouble: () => Promise<void>): Promise<StepEnd> => {
      const running = steps.start('flipWrites', routed.configFile, input, [`${point}=SIGSTOP`]);
      expect(await running.frozen()).toBe(true);
      await trouble();
      running.goOn();
      return running.ended;
    };
    return { routed, attempt, troubled };
  }

  async function expectWhole({ scene }: RoutedScene, primary: 'dallas' | 'chicago'): Promise<void> {
    await observer.progress();
    expect(observer.paused()).toBe(false);
    expect(observer.bothWritable).toEqual([]);
    expect(findStrays(observer.acks)).toEqual([]);
    const acknowledged = observer.acks.map(({ id }) => id);
    const rows = await scene.cluster(primary).query<{ id: string }>('select id from orders');
    const there = new Set(rows.map(({ id }) => Number(id)));
    expect(acknowledged.filter((id) => !there.has(id))).toEqual([]);
  }

  const nameOfWriter = async ({ scene }: RoutedScene, port: number): Promise<string | null> => {
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
    client.on('error', () => undefined);
    try {
      await client.connect();
      const { rows } = await client.query<{ port: number }>('select inet_server_port() as port');
      return rows[0]?.port === scene.chicago.port ? 'chicago' : 'dallas';
    } catch {
      return null;
    } finally {
      await client.end().catch(() => undefined);
    }
  };

  test('HAProxy dies between promotion and routing: said by name; when it is back, the next attempt routes', async () => {
    const { routed, attempt, troubled } = await begin();
    const { haproxy, scene } = routed;
    expect(await troubled('flip:promoted', () => haproxy.stop('SIGKILL'))).toMatchObject({
      end: 'failed',
      type: 'RoutingUnavailable',
      message: expect.stringContaining('haproxy lb1') as string,
    });
    expect(await scene.chicago.query('select pg_is_in_recovery() s')).toEqual([{ s: false }]);
    expect(await attempt()).toMatchObject({ end: 'failed', type: 'RoutingUnavailable' });
    await waitFor(() => Promise.resolve(!observer.paused()));
    await haproxy.start();
    expect(await attempt()).toMatchObject({ end: 'done', result: { outcome: 'flipped', timeline: 2 } });
    await expectWhole(routed, 'chicago');
  });

  test('HAProxy freezes between promotion and routing: the attempt ends within seconds, and clients are not left paused', async () => {
    const { routed, attempt, troubled } = await begin();
    const { haproxy } = routed;
    const startedAt = Date.now();
    const end = await troubled('flip:promoted', () => {
      process.kill(haproxy.pid(), 'SIGSTOP');
      return Promise.resolve();
    });
    const seconds = (Date.now() - startedAt) / 1_000;
    process.kill(haproxy.pid(), 'SIGCONT');
    expect(end).toMatchObject({ end: 'failed', type: 'RoutingUnavailable' });
    expect(seconds).toBeLessThan(25);
    expect(await attempt()).toMatchObject({ end: 'done', result: { outcome: 'flipped' } });
    await expectWhole(routed, 'chicago');
  });

  test('HAProxy dies before the fence: the old primary is left running and the candidate is as before', async () => {
    const { routed, attempt, troubled } = await begin();
    const { haproxy, scene } = routed;
    expect(await troubled('flip:paused', () => haproxy.stop('SIGKILL'))).toMatchObject({
      end: 'failed',
      type: 'RoutingUnavailable',
    });
    await expect(readFence(scene.config.stateDir, 'lab', 'dallas')).resolves.toEqual({ fenced: false });
    expect(await scene.chicago.query('select slot_name from pg_replication_slots')).toEqual([]);
    const settings = `select name from pg_file_settings where sourcefile like '%auto.conf' and name not like 'primary%'`;
    expect(await scene.chicago.query(settings)).toEqual([]);
    await haproxy.start();
    await expectWhole(routed, 'dallas');
    expect(await attempt()).toMatchObject({ end: 'done', result: { outcome: 'flipped' } });
    await expectWhole(routed, 'chicago');
  });

  test('one of two HAProxies is dead when the next attempt begins: the other one leads to the new primary all the same', async () => {
    const { routed, attempt, troubled } = await begin({ routers: 2 });
    const { other, haproxy } = routed;
    const stopOther = async (): Promise<void> => other!.stop('SIGKILL');
    expect(await troubled('flip:promoting', stopOther)).toMatchObject({
      end: 'failed',
      message: expect.stringMatching(/lb2.*the other 1 did it/) as string,
    });
    expect(await nameOfWriter(routed, haproxy.port)).toBe('chicago');
    await haproxy.restart();
    expect(await attempt()).toMatchObject({ end: 'failed', type: 'RoutingUnavailable' });
    await waitFor(async () => (await nameOfWriter(routed, haproxy.port)) === 'chicago');
    await expectWhole(routed, 'chicago');
    await other!.start();
    expect(await attempt()).toMatchObject({ end: 'done' });
    expect(await nameOfWriter(routed, other!.port)).toBe('chicago');
  });

  test('the pooler is dead when the next attempt begins: the write VIP does not wait for it', async () => {
    const { routed, attempt } = await begin();
    const { pgbouncer, haproxy } = routed;
    expect(await attempt(['flip:promoted'])).toEqual({ end: 'died', signal: 'SIGKILL' });
    await pgbouncer.stop('SIGKILL');
    expect(await attempt()).toMatchObject({ end: 'done', result: { notes: [expect.stringContaining('pgb')] } });
    expect(await nameOfWriter(routed, haproxy.port)).toBe('chicago');
    await pgbouncer.start();
    await expectWhole(routed, 'chicago');
  });

  test('the pooler is dead when a half-done flip is undone: the write VIP leads to the old primary all the same', async () => {
    const { routed, attempt } = await begin();
    const { pgbouncer, haproxy, scene } = routed;
    expect(await attempt(['flip:stopped'])).toEqual({ end: 'died', signal: 'SIGKILL' });
    await pgbouncer.stop('SIGKILL');
    await scene.chicago.stop('immediate');
    expect(await attempt()).toMatchObject({
      end: 'failed',
      type: 'FlipUndone',
      message: expect.stringMatching(/chicago does not answer.*pgb/) as string,
    });
    expect(await nameOfWriter(routed, haproxy.port)).toBe('dallas');
    await pgbouncer.start();
    await scene.chicago.start();
    await expectWhole(routed, 'dallas');
  });

  test('a pooler that cannot pause is named with its blocker; once that has ended, the flip goes through', async () => {
    const { routed, attempt } = await begin();
    const client = new pg.Client({ connectionString: routed.pgbouncer.url() });
    await client.connect();
    await client.query('begin');
    await client.query('select 42 as blocker');
    const end = await attempt();
    await client.query('commit');
    await client.end();
    expect(end).toMatchObject({
      end: 'failed',
      type: 'FlipUndone',
      message: expect.stringMatching(
        /pgb cannot pause: postgres@postgres pid \d+ for \d+ s \(select 42 as blocker\)/,
      ) as string,
    });
    await expectWhole(routed, 'dallas');
    expect(await attempt()).toMatchObject({ end: 'done', result: { outcome: 'flipped' } });
    await expectWhole(routed, 'chicago');
  });
});
