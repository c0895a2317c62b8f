/**
 * Scenario: a recovery to a moment and its promotion on a node that is a container of a real engine, laid out as a Kamal accessory with its archive_command
 * and its settings inside. Verified: (1) from plan to production every server of ours runs in a container of the accessory's image, and none is left; (2) a
 * worker killed after `docker run` and before the reply, and what an attempt left behind; (3) never two containers on one PGDATA; (4) an engine that does
 * not answer.
 */
import { chown, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { runProgramOrFail } from '../../activities/lib/exec.js';
import { pollUntil } from '../../activities/lib/poll.js';
import { requireControlData } from '../../activities/postgres/control-data.js';
import { ownerOf, runAsOwner, type Owner } from '../../activities/postgres/data-directory.js';
import { readPostmaster } from '../../activities/postgres/postmaster.js';
import { socketDirFor } from '../../activities/postgres/sandbox/socket-dir.js';
import type { NodeConfig } from '../../config/schema.js';
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import type { SandboxRef } from '../../shared/contracts/sandbox.js';
import { serverDirectory, serverOwner } from '../support/cluster.js';
import { describeWithDocker, startDocker, type TestDocker } from '../support/docker.js';
import { createKillableSteps, type KillableSteps } from '../support/killed-step.js';
import {
  makeArchive,
  planFor,
  query,
  refOf,
  runActivity,
  seedAndSpoil,
  sceneDeps,
  stepOf,
  archiveOf,
  type Scene,
} from '../support/recovery-scene.js';
import { testTools } from '../support/tools.js';

jest.setTimeout(240_000);

const NAME = 'shop-db';
const INNER = '/var/lib/postgresql/18/docker';

describeWithDocker()('a recovery on a node that docker runs', () => {
  let docker: TestDocker;
  let steps: KillableSteps;
  let image: string;
  let binDir: string;
  let owner: Owner;
  let root: string;
  let scene: Scene;
  let sceneFile: string;
  let plan: RecoveryPlan;
  const socketDirs: string[] = [];

  beforeAll(async () => {
    binDir = (await testTools()).postgresBin;
    owner = await serverOwner();
    steps = await createKillableSteps('recovery-child');
    docker = await startDocker();
    image = await docker.postgresImage(binDir);
  }, 600_000);
  afterAll(async () => {
    await docker.destroy();
    await steps.destroy();
  }, 60_000);

  /** A node with its mistake made, and a plan for the moment before it. */
  beforeEach(async () => {
    root = await serverDirectory('pgr-dock-');
    const dataDir = path.join(root, 'volume/18/docker');
    const run = path.join(root, 'run');
    for (const dir of ['volume', 'volume/18', 'run']) {
      await mkdir(path.join(root, dir));
      await chown(path.join(root, dir), owner.uid, owner.gid);
    }
    await runProgramOrFail(
      path.join(binDir, 'initdb'),
      ['-D', dataDir, '-U', 'postgres', '-k', '--no-sync', '--auth=trust'],
      runAsOwner(owner),
    );
    // The paths of the archive are those of the container; archive_mode comes with its command, as Kamal's `cmd:` gives it.
    const settings = {
      unix_socket_directories: '/var/run/postgresql',
      archive_command: 'test ! -f /archive/wal/%f && cp %p /archive/tmp/%f && mv /archive/tmp/%f /archive/wal/%f',
      shared_preload_libraries: 'pg_stat_statements',
      fsync: 'off',
      shared_buffers: '16MB',
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
    await writeFile(path.join(dataDir, 'postgresql.auto.conf'), lines.join(''));
    const node = {
      name: 'dallas',
      host: 'dallas',
      address: run,
      port: 5432,
      dataDir,
      binDir,
      runtime: { kind: 'docker', container: NAME, dockerHost: docker.host, containerDataDir: INNER },
    } as unknown as NodeConfig;
    const first = 22_000 + (process.pid % 50) * 20;
    scene = { root, node, sandboxPorts: [first, first + 19] };
    sceneFile = path.join(root, 'scene.json');
    await writeFile(sceneFile, JSON.stringify(scene));
    await makeArchive(scene, owner);
    await createAccessory();
    await docker.run('start', NAME);
    await untilAnswers();
    plan = await planFor(scene, await seedAndSpoil(scene));
  });
  afterEach(async () => {
    const left = (await docker.run('ps', '--all', '--quiet')).split('\n').filter((id) => id !== '');
    if (left.length > 0) await docker.run('rm', '--force', '--volumes', ...left);
    for (const dir of socketDirs.splice(0)) await rm(dir, { recursive: true, force: true });
    await rm(root, { recursive: true, force: true, maxRetries: 3 });
  });

  const createAccessory = (name = NAME, volume = path.join(root, 'volume')): Promise<string> =>
    docker.run(
      ...['create', '--name', name, '--label', `service=${name}`, '--restart', 'unless-stopped', '--network', 'none'],
      ...['--user', `${String(owner.uid)}:${String(owner.gid)}`, '--shm-size', '256m', '--env', 'SHOP_SECRET=hidden'],
      ...['--volume', `${volume}:/var/lib/postgresql`, '--volume', `${path.join(root, 'run')}:/var/run/postgresql`],
      ...[
        '--volume',
        `${archiveOf(scene)}:/archive`,
        image,
        'postgres',
        '-c',
        'archive_mode=on',
        '-c',
        'wal_level=replica',
      ],
    );
  const untilAnswers = async (): Promise<void> => {
    await sceneDeps(scene).runtime('shop', 'dallas').start();
  };
  const makeRef = (name: string): SandboxRef => {
    const ref = refOf(scene, name);
    socketDirs.push(socketDirFor(sandboxDir(ref), ref.runId));
    return ref;
  };
  const sandboxDir = (ref: SandboxRef): string => path.join(root, 'volume/18/sandboxes', ref.sandbox);
  const nameOf = (dir: string, runId: string): string => path.basename(socketDirFor(dir, runId));
  const act = (...args: Parameters<typeof runActivity> extends [Scene, ...infer Rest] ? Rest : never) =>
    runActivity(scene, ...args);
  const inspect = (name: string, format: string): Promise<string> => docker.run('inspect', '--format', format, name);
  const names = async (): Promise<string[]> =>
    (await docker.run('ps', '--all', '--format', '{{.Names}}'))
      .split('\n')
      .filter((name) => name !== '')
      .sort();
  /** Everything up to the replay. */
  const restored = async (name: string): Promise<{ ref: SandboxRef; plan: RecoveryPlan }> => {
    const input = { ref: makeRef(name), plan };
    for (const step of ['prepareSandbox', 'restoreBase', 'combineIncrementals'] as const) await act(step, input);
    return input;
  };
  const kill = async (fault: string, activity: string, input: unknown): Promise<void> => {
    expect([fault, await steps.killAt(fault, activity, sceneFile, input)]).toEqual([fault, true]);
  };

  test('from the plan to production: servers of ours run in containers of the same image, and none is left', async () => {
    const input = await restored('first');
    const replayed = await act('replayWal', input);
    const sandbox = nameOf(sandboxDir(input.ref), input.ref.runId);
    await expect(names()).resolves.toEqual([sandbox, NAME].sort());
    await expect(inspect(sandbox, '{{.Image}}')).resolves.toBe(await inspect(NAME, '{{.Image}}'));
    await expect(inspect(sandbox, '{{.HostConfig.RestartPolicy.Name}}')).resolves.toBe('no');
    expect(await inspect(sandbox, '{{json .Config.Env}}')).not.toContain('SHOP_SECRET');
    // For people: on the loopback of the host, and nowhere else.
    const port = String(replayed['port']);
    await docker.run('exec', sandbox, 'pg_isready', '-h', '127.0.0.1', '-p', port, '-U', 'postgres', '-d', 'template1');
    const verified = await act('verifySandbox', input);
    expect((verified['checks'] as { check: string; ok: boolean }[]).filter(({ ok }) => !ok)).toEqual([]);
    await expect(act('readSandbox', { ref: input.ref })).resolves.toMatchObject({ state: 'paused' });

    const step = stepOf(scene, plan);
    socketDirs.push(socketDirFor(scene.node.dataDir, step.runId));
    await expect(act('captureTail', step)).resolves.toMatchObject({ outcome: 'captured' });
    await expect(act('fenceNode', step)).resolves.toMatchObject({ outcome: 'stopped' });
    const { keptDataDir } = await act('keepOldData', step);
    await expect(act('swapIn', { ...step, ref: input.ref })).resolves.toMatchObject({ outcome: 'swapped' });
    // The one of the sandbox is gone, and nothing was made in the place of the data meanwhile.
    await expect(names()).resolves.toEqual([NAME]);
    await expect(act('endRecovery', { ...step, ref: input.ref, plan })).resolves.toMatchObject({
      outcome: 'promoted',
      timeline: 2,
      historyArchived: true,
    });
    await expect(names()).resolves.toEqual([NAME]);
    await expect(act('startNode', step)).resolves.toMatchObject({ outcome: 'started', role: 'primary', timeline: 2 });
    await expect(query(scene, 'select count(*)::int n from orders')).resolves.toEqual([{ n: 1000 }]);
    await expect(inspect(NAME, '{{.State.Status}}')).resolves.toBe('running');
    expect((await requireControlData(binDir, String(keptDataDir))).timeline).toBe(1);
    expect(await ownerOf(scene.node.dataDir)).toEqual(owner);
    expect(await readdir(path.join(root, 'volume/18'))).toEqual(
      expect.arrayContaining(['docker', 'sandboxes', path.basename(String(keptDataDir))]),
    );
  });

  test('a worker killed between `docker run` and the reply: the next attempt finds that container and makes no second one', async () => {
    const input = await restored('killed');
    await kill('private-container:run', 'replayWal', input);
    const sandbox = nameOf(sandboxDir(input.ref), input.ref.runId);
    const id = await inspect(sandbox, '{{.Id}}');
    const again = await act('replayWal', input);
    expect(again['port']).toEqual(expect.any(Number));
    await expect(act('replayWal', input)).resolves.toMatchObject({ replayLsn: again['replayLsn'] });
    await expect(inspect(sandbox, '{{.Id}}')).resolves.toBe(id);
    await expect(names()).resolves.toEqual([sandbox, NAME].sort());
    await expect(act('discardSandbox', { ref: input.ref })).resolves.toMatchObject({ outcome: 'discarded' });
    await expect(act('discardSandbox', { ref: input.ref })).resolves.toMatchObject({ outcome: 'already-gone' });
    await expect(names()).resolves.toEqual([NAME]);
  });

  test('the end of the recovery, killed at each of its points, ends as if undisturbed', async () => {
    const input = await restored('end');
    await act('replayWal', input);
    const step = stepOf(scene, plan);
    socketDirs.push(socketDirFor(scene.node.dataDir, step.runId));
    const swap = { ...step, ref: input.ref };
    const end = { ...swap, plan };
    await act('fenceNode', step);
    await act('keepOldData', step);
    for (const fault of ['before-stop', 'after-stop', 'after-rename']) await kill(`swap-in:${fault}`, 'swapIn', swap);
    await expect(act('swapIn', swap)).resolves.toMatchObject({ outcome: 'already-swapped' });
    await kill('private-container:run', 'endRecovery', end);
    // Two servers on one PGDATA: production is not started while ours works there.
    await expect(act('startNode', step)).rejects.toMatchObject({
      type: expect.stringMatching(/Precondition|Identity/) as string,
    });
    for (const fault of ['promoted', 'archived', 'stopped']) await kill(`end-recovery:${fault}`, 'endRecovery', end);
    await expect(act('endRecovery', end)).resolves.toMatchObject({ outcome: 'already-promoted', timeline: 2 });
    await expect(names()).resolves.toEqual([NAME]);
    await act('startNode', step);
    await expect(query(scene, 'select count(*)::int n from orders')).resolves.toEqual([{ n: 1000 }]);
  });

  test('an undo while the recovery is being ended stops our container, sets the data aside and brings the old cluster back', async () => {
    const input = await restored('undo');
    await act('replayWal', input);
    const step = stepOf(scene, plan);
    socketDirs.push(socketDirFor(scene.node.dataDir, step.runId));
    await act('fenceNode', step);
    await act('keepOldData', step);
    await act('swapIn', { ...step, ref: input.ref });
    await kill('end-recovery:started', 'endRecovery', { ...step, ref: input.ref, plan });
    await expect(names()).resolves.toEqual([nameOf(scene.node.dataDir, step.runId), NAME].sort());
    await expect(act('fenceNode', step)).resolves.toMatchObject({ outcome: 'stopped' });
    await expect(act('swapOut', step)).resolves.toMatchObject({ outcome: 'swapped-out' });
    await expect(names()).resolves.toEqual([NAME]);
    await act('returnOldData', step);
    await expect(act('startNode', step)).resolves.toMatchObject({ outcome: 'started', timeline: 1 });
    await expect(query(scene, 'select count(*)::int n from orders')).resolves.toEqual([{ n: 0 }]);
  });

  test('the ended container of an earlier attempt makes way; one of that name that is not ours is left alone', async () => {
    const input = await restored('left');
    const sandbox = nameOf(sandboxDir(input.ref), input.ref.runId);
    await docker.run('create', '--name', sandbox, image, 'true');
    await expect(act('replayWal', input)).rejects.toMatchObject({ type: 'IdentityMismatch' });
    await expect(inspect(sandbox, '{{.State.Status}}')).resolves.toBe('created');
    await docker.run('rm', sandbox);
    const label = `pgr.private-server=${sandboxDir(input.ref)}/data`;
    await docker.run('run', '--name', sandbox, '--label', label, '--entrypoint', 'true', image);
    await expect(act('replayWal', input)).resolves.toMatchObject({ port: expect.any(Number) as number });
    // A server that died: the same again.
    const dataDir = path.join(sandboxDir(input.ref), 'data');
    const server = await readPostmaster(dataDir);
    process.kill(server.state === 'running' ? server.pid : 0, 'SIGKILL');
    const isGone = async (): Promise<boolean> => (await readPostmaster(dataDir)).state === 'stopped';
    expect(await pollUntil(async () => (await isGone()) || null, { timeoutMs: 10_000 })).toBe(true);
    await expect(act('verifySandbox', input)).resolves.toMatchObject({ ok: true });
  });

  test('two containers on one PGDATA are refused, for a sandbox and for the end of a recovery', async () => {
    const input = await restored('twice');
    const dataDir = path.join(sandboxDir(input.ref), 'data');
    await docker.run('create', '--name', 'stranger', '--volume', `${dataDir}:${INNER}`, image);
    await expect(act('replayWal', input)).rejects.toMatchObject({
      type: 'IdentityMismatch',
      message: expect.stringContaining('stranger (created)') as string,
    });
    await expect(readPostmaster(dataDir)).resolves.toMatchObject({ state: 'stopped' });
    await docker.run('rm', '--volumes', 'stranger');
    await act('replayWal', input);

    const step = stepOf(scene, plan);
    socketDirs.push(socketDirFor(scene.node.dataDir, step.runId));
    await act('fenceNode', step);
    await act('keepOldData', step);
    await act('swapIn', { ...step, ref: input.ref });
    await createAccessory('shop-db-old');
    await expect(act('endRecovery', { ...step, ref: input.ref, plan })).rejects.toMatchObject({
      type: 'IdentityMismatch',
      message: expect.stringContaining('shop-db-old (created)') as string,
    });
    await expect(readPostmaster(scene.node.dataDir)).resolves.toMatchObject({ state: 'stopped' });
    await docker.run('rm', '--volumes', 'shop-db-old');
    await expect(act('endRecovery', { ...step, ref: input.ref, plan })).resolves.toMatchObject({ outcome: 'promoted' });
  });

  test('an engine that does not answer is a refusal, never "nothing runs"', async () => {
    const input = await restored('dark');
    const dark: Scene = {
      ...scene,
      node: {
        ...scene.node,
        runtime: { ...scene.node.runtime, dockerHost: 'unix:///nowhere.sock' } as NodeConfig['runtime'],
      },
    };
    await expect(runActivity(dark, 'replayWal', input)).rejects.toMatchObject({ type: 'PreconditionFailed' });
    await expect(runActivity(dark, 'discardSandbox', { ref: input.ref })).rejects.toMatchObject({
      type: 'FenceFailed',
    });
    await expect(act('discardSandbox', { ref: input.ref })).resolves.toMatchObject({ outcome: 'discarded' });
  });
});
