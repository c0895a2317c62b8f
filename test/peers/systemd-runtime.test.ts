/**
 * Scenario: Debian's PostgreSQL package under a real systemd, inside a container (outside of one this machine may have no systemd at all). The
 * runtime itself runs inside too, as it would on a database host: nothing of systemctl or of the processes is stood in for.
 * Verified: (1) status, start and stop of `postgresql@15-main.service`, each done twice; (2) the umbrella unit, an unknown unit, a masked one and missing
 * privileges are refused; (3) `Restart=always` does not undo a stop; (4) a failed start is seen although Debian's unit hides it.
 */
import path from 'node:path';

import { pollUntil } from '../../activities/lib/poll.js';
import { describeWithDocker, startDocker, type TestDocker } from '../support/docker.js';
import { bundleFile } from '../support/bundle.js';

const UNIT = 'postgresql@15-main.service';
const DATA = '/var/lib/postgresql/15/main';

type Answer = { result?: Record<string, unknown>; failure?: { type: string; message: string } };

describeWithDocker()('runtime systemd under a real systemd', () => {
  let docker: TestDocker;

  beforeAll(async () => {
    docker = await startDocker();
    const child = path.join(docker.dir, 'runtime-child.cjs');
    await bundleFile('test/support/runtime-child.ts', child);
    // No --privileged: not every machine may give all capabilities. systemd finds its own cgroup under either hierarchy.
    await docker.run(
      ...[
        'run',
        '--detach',
        '--name',
        'host',
        '--network',
        'none',
        '--env',
        'container=docker',
        '--stop-signal',
        'SIGRTMIN+3',
      ],
      ...[
        '--cap-add',
        'SYS_ADMIN',
        '--cap-add',
        'SYS_PTRACE',
        '--security-opt',
        'seccomp=unconfined',
        '--security-opt',
        'apparmor=unconfined',
      ],
      ...['--tmpfs', '/run', '--tmpfs', '/run/lock', '--tmpfs', '/tmp', '--volume', '/sys/fs/cgroup:/sys/fs/cgroup:rw'],
      ...['--volume', `${process.execPath}:/usr/local/bin/node:ro`, '--volume', `${child}:/runtime-child.cjs:ro`],
      ...[await docker.image('systemd-postgresql'), '/sbin/init'],
    );
    const booted = await pollUntil(
      async () => (/running|degraded/.test((await inside('systemctl', 'is-system-running')).stdout) ? true : null),
      { timeoutMs: 60_000, everyMs: 200 },
    );
    expect(booted).toBe(true);
  }, 600_000);
  afterAll(async () => {
    await docker.destroy();
  }, 60_000);

  beforeEach(async () => {
    await inside('systemctl', 'unmask', UNIT);
    await inside('rm', '-rf', `/run/systemd/system/${UNIT}.d`, '/etc/postgresql/15/main/conf.d/broken.conf');
    await inside('systemctl', 'daemon-reload');
    await inside('systemctl', 'reset-failed', UNIT);
    await call('stop');
  });

  const inside = (...words: string[]) => docker.attempt('exec', 'host', ...words);
  const callAs = async (user: string, what: string, runtime: object): Promise<Answer> => {
    const node = JSON.stringify({
      name: 'dallas',
      dataDir: DATA,
      runtime: { kind: 'systemd', unit: UNIT, sudo: false, ...runtime },
    });
    const said = await docker.run('exec', '--user', user, 'host', 'node', '/runtime-child.cjs', node, what);
    return JSON.parse(said) as Answer;
  };
  const call = (what: 'status' | 'start' | 'stop', runtime: object = {}): Promise<Answer> =>
    callAs('root', what, runtime);
  const activeState = async (): Promise<string> =>
    (await inside('systemctl', 'show', UNIT, '-p', 'ActiveState', '--value')).stdout.trim();
  const dropIn = async (text: string): Promise<void> => {
    await inside('mkdir', '-p', `/run/systemd/system/${UNIT}.d`);
    await inside('sh', '-c', `printf '${text}' > /run/systemd/system/${UNIT}.d/test.conf`);
    await inside('systemctl', 'daemon-reload');
  };

  test('starts and stops the instance, each done twice, and says how it knows', async () => {
    const started = await call('start');
    expect(started).toMatchObject({ result: { outcome: 'started' } });
    await expect(activeState()).resolves.toBe('active');
    await expect(call('status')).resolves.toMatchObject({ result: { state: 'running', accepting: true, port: 5432 } });
    await expect(call('start')).resolves.toEqual({
      result: { outcome: 'already-running', pid: started.result?.['pid'] },
    });

    await expect(call('stop')).resolves.toMatchObject({
      result: {
        outcome: 'stopped',
        proof: expect.stringMatching(
          /unit postgresql@15-main.service is inactive \(dead\); no postmaster.pid/,
        ) as string,
      },
    });
    await expect(call('stop')).resolves.toMatchObject({ result: { outcome: 'already-stopped' } });
    await expect(call('status')).resolves.toMatchObject({ result: { state: 'stopped' } });
  });

  test('refuses the umbrella unit, naming its instances, and an unknown one; the server goes on', async () => {
    await call('start');
    await expect(call('stop', { unit: 'postgresql.service' })).resolves.toMatchObject({
      failure: { type: 'ConfigInvalid' },
    });
    await expect(call('stop', { unit: 'postgresql@17-main.service' })).resolves.toMatchObject({
      failure: { type: expect.stringMatching(/NotFound|IdentityMismatch/) as string },
    });
    await expect(call('stop', { unit: 'no-such.service' })).resolves.toMatchObject({ failure: { type: 'NotFound' } });
    await expect(activeState()).resolves.toBe('active');
  });

  test('without privileges it is refused as such, with and without sudo', async () => {
    await call('start');
    await expect(callAs('postgres', 'stop', {})).resolves.toMatchObject({ failure: { type: 'NotAllowed' } });
    await expect(callAs('postgres', 'stop', { sudo: true })).resolves.toMatchObject({
      failure: { type: 'NotAllowed' },
    });
    await expect(activeState()).resolves.toBe('active');
  });

  test('goes through sudo -n where sudoers allows it', async () => {
    await call('start');
    await inside(
      'sh',
      '-c',
      'echo "postgres ALL=(root) NOPASSWD: /usr/bin/systemctl, /bin/systemctl" > /etc/sudoers.d/pgr',
    );
    try {
      await expect(callAs('postgres', 'stop', { sudo: true })).resolves.toMatchObject({
        result: { outcome: 'stopped' },
      });
    } finally {
      await inside('rm', '/etc/sudoers.d/pgr');
    }
  });

  test('Restart=always does not bring a stopped server back', async () => {
    await dropIn('[Service]\\nRestart=always\\nRestartSec=100ms\\n');
    await call('start');
    await call('stop');
    // Longer than the restart delay: the one thing that cannot be polled for is that nothing happens.
    const back = await pollUntil(async () => ((await activeState()) === 'inactive' ? null : true), {
      timeoutMs: 1_500,
      everyMs: 100,
    });
    expect(back).toBeNull();
    await expect(call('status')).resolves.toMatchObject({ result: { state: 'stopped' } });
  });

  test('a start that fails is a failure with the reason, and works once it is mended', async () => {
    await inside('sh', '-c', 'echo "shared_buffers = nonsense" > /etc/postgresql/15/main/conf.d/broken.conf');
    await expect(call('start')).resolves.toMatchObject({ failure: { type: 'CommandFailed' } });
    await inside('rm', '/etc/postgresql/15/main/conf.d/broken.conf');
    await expect(call('start')).resolves.toMatchObject({ result: { outcome: 'started' } });
  });

  test('a masked unit is refused', async () => {
    await inside('systemctl', 'mask', '--runtime', UNIT);
    const answer = await call('start');
    await inside('systemctl', 'unmask', '--runtime', UNIT);
    expect(answer).toMatchObject({ failure: { type: 'PreconditionFailed' } });
  });

  test('a server that was started by hand is seen and stopped although its unit is inactive', async () => {
    await inside(
      'runuser',
      '-u',
      'postgres',
      '--',
      '/usr/bin/pg_ctlcluster',
      '--skip-systemctl-redirect',
      '15',
      'main',
      'start',
    );
    await expect(activeState()).resolves.toBe('inactive');
    await expect(call('status')).resolves.toMatchObject({ result: { state: 'running' } });
    await expect(call('stop')).resolves.toMatchObject({ result: { outcome: 'stopped' } });
  });
});
