/**
 * Scenario: restore-controller on a real Docker engine; in the container works the stand-in of the controller.
 * Verified: (1) from nothing to enabled backups, with the data directory, restart policy and labels as they have to be; (2) the controller works with the key
 * that was placed; (3) a container that was stopped, and one that was only created, are started and not made again; (4) a name that is taken is refused.
 */
import { spawn } from 'node:child_process';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';

import { createControllerArgs } from '../../activities/backup-store/databasus-controller/container-commands.js';
import { createControllerActivities } from '../../activities/backup-store/databasus-controller/index.js';
import type { ControllerStepInput } from '../../shared/contracts/controller.js';
import { ENVIRONMENT, KEY, makeControllerScene, type ControllerScene } from '../support/controller-scene.js';
import { describeWithDocker, startDocker, type TestDocker } from '../support/docker.js';

const IMAGE = 'pgr-test-controller:v1';
const NAME = 'databasus';

describeWithDocker()('restore-controller with a real engine', () => {
  let docker: TestDocker;
  let scene: ControllerScene;
  let relay: Relay;

  beforeAll(async () => {
    docker = await startDocker();
  }, 600_000);
  afterAll(async () => {
    await docker.destroy();
  }, 60_000);
  beforeEach(async () => {
    scene = await makeControllerScene(true);
    await makeImage();
    await scene.change({ dockerHost: docker.host, image: IMAGE, network: 'host' });
    relay = await startRelay(docker, portOf(scene));
  }, 300_000);
  afterEach(async () => {
    await relay.stop();
    await docker.attempt('rm', '--force', NAME);
    await scene.destroy();
  });

  async function makeImage(): Promise<void> {
    if ((await docker.attempt('image', 'inspect', IMAGE)).exitCode === 0) return;
    const from = await docker.image('trixie');
    await copyFile(process.execPath, path.join(scene.dir, 'node'));
    await writeFile(
      path.join(scene.dir, 'Dockerfile'),
      `FROM ${from}\nCOPY node controller-program.cjs /\nENTRYPOINT ["/node", "/controller-program.cjs", "/databasus-data", "4005"]\n`,
    );
    await docker.run('build', '--quiet', '--tag', IMAGE, scene.dir);
  }

  const activities = () => createControllerActivities(scene.deps);
  const inspect = async (): Promise<Record<string, unknown>> =>
    (JSON.parse(await docker.run('inspect', NAME)) as Record<string, unknown>[])[0] ?? {};
  const input = async (): Promise<ControllerStepInput> => ({
    environment: ENVIRONMENT,
    run: 'shop/change',
    plan: await activities().planController({ environment: ENVIRONMENT, key: scene.key }),
  });

  test('from nothing to enabled backups; stopped and started again, it is the same one', async () => {
    const step = await input();
    await activities().placeControllerKey(step);
    await expect(activities().startController(step)).resolves.toMatchObject({ outcome: 'created' });
    await activities().setUpControllerUsers(step);
    await activities().addControllerStorage(step);
    await expect(activities().addControllerDatabases(step)).resolves.toMatchObject({
      databases: [{ outcome: 'added' }],
    });
    const made = await inspect();
    expect(made).toMatchObject({
      HostConfig: { RestartPolicy: { Name: 'unless-stopped' }, NetworkMode: 'host' },
      Mounts: [{ Type: 'bind', Source: scene.dataDir, Destination: '/databasus-data', RW: true }],
      Config: { Labels: { 'pgr.environment': ENVIRONMENT, 'pgr.run': 'shop/change' } },
    });
    expect(await docker.run('exec', NAME, 'cat', '/databasus-data/secret.key')).toBe(KEY);
    expect(await readFile(path.join(scene.dataDir, 'secret.key'), 'utf8')).toBe(KEY);
    for (const secret of scene.secrets) expect(JSON.stringify(made)).not.toContain(secret);
    await docker.run('kill', NAME);
    await expect(activities().startController(step)).resolves.toMatchObject({ outcome: 'started' });
    await expect(activities().startController(step)).resolves.toMatchObject({ outcome: 'already-running' });
    expect((await inspect())['Id']).toBe(made['Id']);
    expect(Object.values(scene.state().configs)).toMatchObject([{ isBackupsEnabled: true }]);
  }, 180_000);

  test('one that was only created is started; a name that is taken by another data directory is refused', async () => {
    const step = await input();
    await activities().placeControllerKey(step);
    const { container, dataDir } = step.plan;
    const wanted = { container, dataDir, image: IMAGE, publish: '1', network: 'host', environment: 'e', run: 'r' };
    await docker.run(...createControllerArgs(wanted));
    await expect(activities().startController(step)).resolves.toMatchObject({ outcome: 'started' });
    await docker.run('rm', '--force', NAME);
    await docker.run(...createControllerArgs({ ...wanted, dataDir: scene.dir }));
    await expect(activities().startController(step)).rejects.toMatchObject({ type: 'IdentityMismatch' });
    expect(await docker.run('inspect', '--format', '{{.State.Status}}', NAME)).toBe('created');
  }, 180_000);
});

function portOf({ deps }: ControllerScene): number {
  const backups = deps.config.environments[ENVIRONMENT]?.backups;
  return backups?.kind === 'databasus' ? Number(new URL(backups.url).port) : 0;
}

type Relay = { stop(): Promise<void> };

/** The engine has a network of its own without a way in: connections go through `docker exec`. */
async function startRelay(docker: TestDocker, port: number): Promise<Relay> {
  const connect = "const s=require('net').connect(4005,'127.0.0.1');process.stdin.pipe(s).pipe(process.stdout)";
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    const inside = spawn('docker', ['exec', '--interactive', NAME, '/node', '-e', connect], {
      env: { PATH: process.env['PATH'] ?? '', DOCKER_HOST: docker.host },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    inside.stdin.on('error', () => socket.destroy());
    socket.on('error', () => inside.kill());
    socket.on('close', () => {
      open.delete(socket);
      inside.kill();
    });
    inside.on('exit', () => socket.destroy());
    socket.pipe(inside.stdin);
    inside.stdout.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    async stop() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
    },
  };
}
