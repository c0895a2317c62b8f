/**
 * Scenario: a recovery to a moment and its promotion on a node of Debian's package under a real systemd, inside a container: the configuration lies in
 * /etc/postgresql, not in the data directory. The activities run inside too, as they would on a database host.
 * Verified: (1) from plan to production, each step once more without a second effect; (2) the end of the recovery killed at each of its points; (3) servers
 * of ours are processes of the server's user, and the unit takes over at the end.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { pollUntil } from '../../activities/lib/poll.js';
import type { NodeConfig } from '../../config/schema.js';
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import { describeWithDocker, startDocker, type TestDocker } from '../support/docker.js';
import { refOf, stepOf, type Activity, type Scene } from '../support/recovery-scene.js';
import { bundleFile } from '../support/bundle.js';

jest.setTimeout(240_000);

const UNIT = 'postgresql@15-main.service';
const CONF = '/etc/postgresql/15/main';
const ROOT = '/var/lib/postgresql/scene';

const NODE = {
  name: 'dallas',
  host: 'dallas',
  address: '/var/run/postgresql',
  port: 5432,
  dataDir: '/var/lib/postgresql/15/main',
  binDir: '/usr/lib/postgresql/15/bin',
  configFile: `${CONF}/postgresql.conf`,
  runtime: { kind: 'systemd', unit: UNIT, sudo: false },
} as unknown as NodeConfig;
const SCENE: Scene = { root: ROOT, node: NODE, sandboxPorts: [15_400, 15_419] };

type Answer = { result?: unknown; failure?: { type: string; message: string } };

describeWithDocker()('a recovery on a node that systemd runs', () => {
  let docker: TestDocker;

  beforeAll(async () => {
    docker = await startDocker();
    const programs = path.join(docker.dir, 'programs');
    await mkdir(programs);
    await bundleFile('test/support/recovery-child.ts', path.join(programs, 'child.cjs'));
    await writeFile(path.join(programs, 'scene.json'), JSON.stringify(SCENE));
    // As in systemd-runtime.test.ts; the data in a volume, because the layers of an image cannot rename a directory.
    await docker.run(
      ...['run', '--detach', '--name', 'host', '--network', 'none', '--env', 'container=docker'],
      ...['--stop-signal', 'SIGRTMIN+3', '--cap-add', 'SYS_ADMIN', '--cap-add', 'SYS_PTRACE'],
      ...['--security-opt', 'seccomp=unconfined', '--security-opt', 'apparmor=unconfined'],
      ...[
        '--tmpfs',
        '/run',
        '--tmpfs',
        '/run/lock',
        '--tmpfs',
        '/tmp',
        '--volume',
        '/sys/fs/cgroup:/sys/fs/cgroup:rw',
        '--volume',
        '/var/lib/postgresql',
      ],
      ...['--volume', `${process.execPath}:/usr/local/bin/node:ro`, '--volume', `${programs}:/programs:ro`],
      ...[await docker.image('systemd-postgresql'), '/sbin/init'],
    );
    const booted = await pollUntil(
      async () => (/running|degraded/.test((await inside('systemctl', 'is-system-running')).stdout) ? true : null),
      { timeoutMs: 60_000, everyMs: 200 },
    );
    expect(booted).toBe(true);
    const settings = [
      'archive_mode = on',
      `archive_command = 'test ! -f ${ROOT}/archive/wal/%f && cp %p ${ROOT}/archive/tmp/%f && mv ${ROOT}/archive/tmp/%f ${ROOT}/archive/wal/%f'`,
      'fsync = off',
    ];
    await shell(`mkdir -p ${CONF}/conf.d && cat >${CONF}/conf.d/test.conf <<'END'\n${settings.join('\n')}\nEND`);
    await shell(`printf 'local all all trust\\nlocal replication all trust\\n' >${CONF}/pg_hba.conf`);
    await shell(`install -d -o postgres -g postgres -m 0755 ${ROOT}`);
    await ask('makeArchive');
    await shell(`systemctl restart ${UNIT}`);
    await act('startNode', { environment: 'shop', node: 'dallas', run: '', runId: '', expect: await expected() });
  }, 600_000);
  afterAll(async () => {
    await docker.destroy();
  }, 60_000);

  const inside = (...words: string[]) => docker.attempt('exec', 'host', ...words);
  const shell = (text: string): Promise<string> => docker.run('exec', 'host', 'sh', '-c', text);
  const ask = async (what: string, input: unknown = null): Promise<Answer> => {
    const said = await inside('node', '/programs/child.cjs', '/programs/scene.json', what, JSON.stringify(input));
    return JSON.parse(said.stdout === '' ? '{}' : said.stdout) as Answer;
  };
  const act = async (activity: Activity | 'plan' | 'query' | 'seedAndSpoil', input: unknown): Promise<unknown> => {
    const { result, failure } = await ask(activity, input);
    if (failure !== undefined) throw new Error(`${activity}: ${failure.type}: ${failure.message}`);
    return result;
  };
  const killAt = async (fault: string, activity: Activity, input: unknown): Promise<void> => {
    const flag = `/tmp/flag-${fault.replace(/\W/g, '-')}`;
    const env = ['--env', `PGR_FAULT=${fault}`, '--env', `PGR_FAULT_FLAG=${flag}`];
    const words = ['node', '/programs/child.cjs', '/programs/scene.json', activity, JSON.stringify(input)];
    const said = await docker.attempt('exec', ...env, 'host', ...words);
    // 137: the shell's way to say SIGKILL.
    expect([fault, said.exitCode, said.stdout]).toEqual([fault, 137, '']);
    await docker.run('exec', 'host', 'test', '-e', flag);
  };
  const expected = async (): Promise<object> => {
    const said = await docker.run('exec', 'host', '/usr/lib/postgresql/15/bin/pg_controldata', NODE.dataDir);
    const systemIdentifier = /system identifier: +(\d+)/.exec(said)?.[1] ?? '';
    return { systemIdentifier, dataDir: NODE.dataDir, host: NODE.host };
  };
  const count = (): Promise<unknown> => act('query', 'select count(*)::int n from orders');
  /** Command lines of the servers that belong to the user of the unit's server; the image has no ps. */
  const servers = (): Promise<string> =>
    shell(
      'for p in /proc/[0-9]*; do [ "$(stat -c %U $p 2>/dev/null)" = postgres ] && tr "\\0" " " <$p/cmdline && echo; done | grep " -D " || true',
    );

  test('from the plan to production, the end of the recovery killed at each of its points', async () => {
    const plan = (await act('plan', await act('seedAndSpoil', null))) as RecoveryPlan;
    await expect(count()).resolves.toEqual([{ n: 0 }]);
    const input = { ref: refOf(SCENE, 'first'), plan };
    for (const step of ['prepareSandbox', 'restoreBase', 'combineIncrementals'] as const) await act(step, input);
    await act('replayWal', input);
    await expect(servers()).resolves.toMatch(/sandboxes\/first\/data/);
    const verified = (await act('verifySandbox', input)) as { checks: { ok: boolean }[] };
    expect(verified.checks.filter(({ ok }) => !ok)).toEqual([]);

    const step = stepOf(SCENE, plan);
    const swap = { ...step, ref: input.ref };
    const end = { ...swap, plan };
    await act('captureTail', step);
    await expect(act('fenceNode', step)).resolves.toMatchObject({ outcome: 'stopped' });
    await act('keepOldData', step);
    await killAt('swap-in:after-rename', 'swapIn', swap);
    await expect(act('swapIn', swap)).resolves.toMatchObject({ outcome: 'already-swapped' });
    for (const point of ['started', 'promoted', 'archived', 'stopped'])
      await killAt(`end-recovery:${point}`, 'endRecovery', end);
    await expect(act('endRecovery', end)).resolves.toMatchObject({ outcome: 'already-promoted', timeline: 2 });
    await expect(servers()).resolves.toBe('');
    await expect(act('startNode', step)).resolves.toMatchObject({ outcome: 'started', role: 'primary', timeline: 2 });
    await expect(act('startNode', step)).resolves.toMatchObject({ outcome: 'already-running' });
    await expect(count()).resolves.toEqual([{ n: 1000 }]);
    expect((await inside('systemctl', 'show', UNIT, '-p', 'ActiveState', '--value')).stdout.trim()).toBe('active');
  });
});
