/**
 * Scenario: PostgreSQL 18 in a container of a real engine, laid out as a Kamal accessory (`<volume>/18/docker`, `--restart unless-stopped`).
 * Verified: (1) status, stop and start tell what is true of engine and processes, also seen from the host's pid namespace; (2) a stopped server stays
 * stopped, also after a restart of the engine; (3) two containers on one PGDATA are refused; (4) a server that takes long to stop is never killed.
 */
import { chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { runProgramOrFail } from '../../activities/lib/exec.js';
import { pollUntil } from '../../activities/lib/poll.js';
import { runAsOwner, type Owner } from '../../activities/postgres/data-directory.js';
import { requireControlData } from '../../activities/postgres/control-data.js';
import { readPostmaster } from '../../activities/postgres/postmaster.js';
import { serverControl } from '../../activities/postgres/server.js';
import { createDockerRuntime } from '../../activities/runtime/docker-runtime.js';
import type { EnvironmentConfig, NodeConfig } from '../../config/schema.js';
import { serverDirectory, serverOwner } from '../support/cluster.js';
import { describeWithDocker, startDocker, type TestDocker } from '../support/docker.js';
import { testTools } from '../support/tools.js';

const NAME = 'shop-db';
const INNER = '/var/lib/postgresql/18/docker';

describeWithDocker()('runtime docker with a real engine', () => {
  let docker: TestDocker;
  let image: string;
  let binDir: string;
  let owner: Owner;
  let volume: string;
  let dataDir: string;

  beforeAll(async () => {
    binDir = (await testTools()).postgresBin;
    owner = await serverOwner();
    docker = await startDocker();
    image = await docker.image('trixie');
  }, 600_000);
  afterAll(async () => {
    await docker.destroy();
  }, 60_000);

  beforeEach(async () => {
    volume = await serverDirectory();
    await mkdir(path.join(volume, '18'));
    await chown(path.join(volume, '18'), owner.uid, owner.gid);
    dataDir = path.join(volume, '18/docker');
    await runProgramOrFail(
      path.join(binDir, 'initdb'),
      ['-D', dataDir, '-U', 'postgres', '--no-sync', '--auth=trust'],
      runAsOwner(owner),
    );
    await writeFile(path.join(dataDir, 'postgresql.auto.conf'), "unix_socket_directories = '/tmp'\nfsync = off\n");
  });
  afterEach(async () => {
    const left = (await docker.run('ps', '--all', '--quiet')).split('\n').filter((id) => id !== '');
    if (left.length > 0) await docker.run('rm', '--force', ...left);
    await rm(volume, { recursive: true, force: true });
  });

  /** The programs come from the host, as a base image has none. */
  const create = (name = NAME, policy = 'unless-stopped'): Promise<string> => {
    const tree = path.dirname(path.dirname(path.dirname(binDir)));
    return docker.run(
      ...['create', '--name', name, '--label', `service=${name}`, '--restart', policy, '--network', 'none'],
      ...['--stop-signal', 'SIGINT', '--user', `${String(owner.uid)}:${String(owner.gid)}`, '--shm-size', '256m'],
      ...['--env', `PGDATA=${INNER}`, '--volume', `${volume}:/var/lib/postgresql`, '--volume', `${tree}:${tree}:ro`],
      ...[image, path.join(binDir, 'postgres'), '-D', INNER],
    );
  };
  const runtime = (more: Partial<NodeConfig> = {}) =>
    createDockerRuntime(
      {} as EnvironmentConfig,
      {
        name: 'dallas',
        dataDir,
        runtime: { kind: 'docker', container: NAME, dockerHost: docker.host, containerDataDir: INNER },
        ...more,
      } as unknown as NodeConfig,
      serverControl,
    );
  const containerState = (name = NAME): Promise<string> => docker.run('inspect', '--format', '{{.State.Status}}', name);
  const isCleanShutdown = async (): Promise<string> => (await requireControlData(binDir, dataDir)).state;

  test('starts, is seen from the host with its real pid, stops with a shutdown checkpoint; each done twice', async () => {
    await create();
    await expect(runtime().status()).resolves.toMatchObject({ state: 'stopped' });
    const { outcome, pid } = await runtime().start();
    expect(outcome).toBe('started');
    // The pid file says 1: the pid of the container's namespace.
    expect(await readFile(path.join(dataDir, 'postmaster.pid'), 'utf8')).toMatch(/^1\n/);
    expect(pid).toBe(Number(await docker.run('inspect', '--format', '{{.State.Pid}}', NAME)));
    await expect(readPostmaster(dataDir)).resolves.toMatchObject({ state: 'running', pid, socketDir: null });
    await expect(runtime().status()).resolves.toMatchObject({ state: 'running', pid, accepting: true });
    await expect(runtime().start()).resolves.toEqual({ outcome: 'already-running', pid });

    const { proof } = await runtime().stop();
    expect(proof).toMatch(/container shop-db is exited with code 0 .*no postmaster.pid.*no other container/);
    await expect(isCleanShutdown()).resolves.toBe('shut down');
    await expect(runtime().stop()).resolves.toMatchObject({ outcome: 'already-stopped' });
  });

  test.each(['unless-stopped', 'always'])(
    'with restart policy %s a stopped server stays stopped, also when the engine starts again',
    async (policy) => {
      await create(NAME, policy);
      await runtime().start();
      await runtime().stop();
      await docker.restart();
      await expect(containerState()).resolves.toBe('exited');
      await expect(runtime().status()).resolves.toMatchObject({ state: 'stopped' });
      await expect(runtime().start()).resolves.toMatchObject({ outcome: 'started' });
    },
  );

  test('two containers with one PGDATA: nothing is started, and both are named', async () => {
    await create();
    await create('shop-db-old');
    await expect(runtime().start()).rejects.toMatchObject({
      type: 'IdentityMismatch',
      message: expect.stringMatching(/shop-db and shop-db-old \(created\)/) as string,
    });
    await expect(containerState()).resolves.toBe('created');
  });

  test('two containers that already run on one PGDATA are never called running or stopped', async () => {
    await create();
    await create('shop-db-old');
    await docker.run('start', NAME, 'shop-db-old');
    const unknown = await pollUntil(async () => ((await readPostmaster(dataDir)).state === 'unknown' ? true : null), {
      timeoutMs: 20_000,
    });
    expect(unknown).toBe(true);
    await expect(runtime().stop()).rejects.toMatchObject({ type: 'IdentityMismatch' });
    await expect(containerState()).resolves.toBe('running');
  });

  test('a shutdown that takes longer than it may is a failed fence, and the server is not killed', async () => {
    await create();
    const { pid } = await runtime().start();
    process.kill(pid, 'SIGSTOP');
    try {
      await expect(runtime().stop(1_000)).rejects.toMatchObject({ type: 'FenceFailed' });
      await expect(containerState()).resolves.toBe('running');
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await expect(runtime().stop()).resolves.toMatchObject({ outcome: expect.stringMatching(/stopped/) as string });
    await expect(isCleanShutdown()).resolves.toBe('shut down');
  });

  test('a server that cannot start fails with what it wrote, and can be started once that is mended', async () => {
    await create();
    await writeFile(path.join(dataDir, 'postgresql.auto.conf'), 'shared_buffers = nonsense\n');
    await expect(runtime().start()).rejects.toMatchObject({
      type: 'CommandFailed',
      message: expect.stringContaining('shared_buffers') as string,
    });
    await runtime().stop();
    await writeFile(path.join(dataDir, 'postgresql.auto.conf'), "unix_socket_directories = '/tmp'\n");
    await expect(runtime().start()).resolves.toMatchObject({ outcome: 'started' });
  });

  test('a container of another data directory is refused before anything is touched', async () => {
    await create();
    await runtime().start();
    const other = runtime({ dataDir: path.join(volume, '17/docker') });
    await expect(other.stop()).rejects.toMatchObject({ type: 'IdentityMismatch' });
    await expect(containerState()).resolves.toBe('running');
  });

  test('a removed container is stopped as long as nothing works on its data, and cannot be started', async () => {
    await create();
    await runtime().start();
    await docker.run('rm', '--force', NAME);
    await expect(runtime().stop()).resolves.toMatchObject({
      outcome: 'already-stopped',
      proof: expect.stringContaining('there is no container shop-db') as string,
    });
    await expect(runtime().start()).rejects.toMatchObject({ type: 'NotFound' });
  });
});
