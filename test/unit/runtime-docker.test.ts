import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { identify } from '../../activities/lib/process-identity.js';
import { hostPathOf, parseInspect } from '../../activities/runtime/containers.js';
import { createDockerRuntime } from '../../activities/runtime/docker-runtime.js';
import { withKamalLock } from '../../activities/runtime/kamal-lock.js';
import type { ServerControl } from '../../activities/runtime/process-runtime.js';
import type { EnvironmentConfig, NodeConfig } from '../../config/schema.js';

/** A stand-in for docker that shows the containers of a file and does what the test prepared. Calls are written down. */
const DOCKER = `#!/bin/sh
dir=$(dirname "$0")/..
echo "$@" >>"$dir/calls"
[ ! -e "$dir/down" ] || { echo 'Cannot connect to the Docker daemon at unix:///run/docker.sock. Is the docker daemon running?' >&2; exit 1; }
case $1 in
  ps) cat "$dir/ids" ;;
  inspect) cat "$dir/containers.json" ;;
  stop) [ ! -e "$dir/stopped.json" ] || cp "$dir/stopped.json" "$dir/containers.json"; exit 0 ;;
  start) [ ! -e "$dir/start-error" ] || { cat "$dir/start-error" >&2; exit 1; }; cp "$dir/started.json" "$dir/containers.json" ;;
  update) sed -i 's/"always"/"unless-stopped"/' "$dir/containers.json" "$dir/stopped.json" ;;
  logs) echo 'FATAL:  data directory has invalid permissions' ;;
esac
`;

let dir: string;
let dataDir: string;
let oldPath: string | undefined;
/** What the host sees in the data directory; null: as the container `shop-db` says. */
let server: Awaited<ReturnType<ServerControl['readPostmaster']>> | null;
let stoppedByHand: number;

beforeEach(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'pgr-docker-'));
  dataDir = path.join(dir, 'volume/18/docker');
  await mkdir(dataDir, { recursive: true });
  await mkdir(path.join(dir, 'bin'));
  await writeFile(path.join(dir, 'bin/docker'), DOCKER);
  await chmod(path.join(dir, 'bin/docker'), 0o755);
  oldPath = process.env['PATH'];
  process.env['PATH'] = `${path.join(dir, 'bin')}:${oldPath ?? ''}`;
  server = null;
  stoppedByHand = 0;
});
afterEach(async () => {
  process.env['PATH'] = oldPath;
  await rm(dir, { recursive: true, force: true });
});

type Facts = {
  name?: string;
  status?: string;
  policy?: string;
  source?: string;
  env?: string[];
  image?: string;
  readOnly?: boolean;
};

function container(facts: Facts = {}): object {
  const {
    name = 'shop-db',
    status = 'running',
    policy = 'unless-stopped',
    image = 'postgres:18',
    readOnly = false,
  } = facts;
  return {
    Id: `id-${name}`,
    Name: `/${name}`,
    RestartCount: 0,
    Path: 'docker-entrypoint.sh',
    Args: [],
    State: { Status: status, ExitCode: 0, FinishedAt: '2026-11-21T03:42:00Z' },
    HostConfig: { RestartPolicy: { Name: policy } },
    Mounts: [{ Source: facts.source ?? path.join(dir, 'volume'), Destination: '/var/lib/postgresql', RW: !readOnly }],
    Config: { Image: image, Env: facts.env ?? ['PGDATA=/var/lib/postgresql/18/docker'] },
  };
}

async function shows(file: string, containers: object[]): Promise<void> {
  await writeFile(path.join(dir, file), JSON.stringify(containers));
  await writeFile(path.join(dir, 'ids'), containers.map((_, index) => `id${String(index)}\n`).join(''));
}

const control: ServerControl = {
  async readPostmaster() {
    if (server !== null) return server;
    const [shop] = parseInspect(await readFile(path.join(dir, 'containers.json'), 'utf8')).filter(
      ({ name }) => name === 'shop-db',
    );
    return shop?.status === 'running'
      ? { state: 'running', pid: 4711, port: 5432, socketDir: null, status: 'ready' }
      : { state: 'stopped', why: 'no postmaster.pid and no postgres process in that directory' };
  },
  startServer: () => Promise.reject(new Error('the container starts it')),
  stopServer() {
    stoppedByHand += 1;
    server = { state: 'stopped', why: 'no postgres process' };
    return Promise.resolve({ outcome: 'stopped', proof: '' });
  },
};

function runtime(more: Partial<Extract<NodeConfig['runtime'], { kind: 'docker' }>> = {}) {
  const node = {
    name: 'dallas',
    dataDir,
    runtime: { kind: 'docker', container: 'shop-db', containerDataDir: '/var/lib/postgresql/18/docker', ...more },
  } as unknown as NodeConfig;
  return createDockerRuntime({} as EnvironmentConfig, node, control);
}

const calls = async (): Promise<string[]> =>
  (await readFile(path.join(dir, 'calls'), 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');
const changes = async (): Promise<string[]> => (await calls()).filter((line) => /^(stop|start|update)/.test(line));

describe('status', () => {
  test('a running container whose server is seen in the data directory is running', async () => {
    await shows('containers.json', [container()]);
    await expect(runtime().status()).resolves.toMatchObject({ state: 'running', pid: 4711, accepting: true });
  });

  test('an engine that does not answer is unknown, never stopped', async () => {
    await shows('containers.json', [container({ status: 'exited' })]);
    await writeFile(path.join(dir, 'down'), '');
    await expect(runtime().status()).resolves.toMatchObject({
      state: 'unknown',
      why: expect.stringContaining('Cannot connect to the Docker daemon') as string,
    });
  });

  test('an exited container is stopped, and the proof names both sides', async () => {
    await shows('containers.json', [container({ status: 'exited' })]);
    await expect(runtime().status()).resolves.toEqual({
      state: 'stopped',
      why:
        'container shop-db is exited with code 0 at 2026-11-21T03:42:00Z; no postmaster.pid and no postgres process in that directory; ' +
        'no other container runs on it',
    });
  });

  test('a container that the engine keeps restarting is unknown', async () => {
    await shows('containers.json', [container({ status: 'restarting' })]);
    await expect(runtime().status()).resolves.toMatchObject({ state: 'unknown' });
  });

  test('an exited container is unknown while another one runs on its data', async () => {
    await shows('containers.json', [container({ status: 'exited' }), container({ name: 'shop-db-old' })]);
    await expect(runtime().status()).resolves.toMatchObject({
      state: 'unknown',
      why: expect.stringContaining('shop-db-old') as string,
    });
  });

  test('a paused server accepts nothing', async () => {
    await shows('containers.json', [container({ status: 'paused' })]);
    server = { state: 'running', pid: 1, port: 5432, socketDir: null, status: 'ready' };
    await expect(runtime().status()).resolves.toMatchObject({ state: 'running', accepting: false });
  });
});

describe('stop', () => {
  test('waits without an end, so that the engine kills nothing', async () => {
    await shows('containers.json', [container()]);
    await shows('stopped.json', [container({ status: 'exited' })]);
    await expect(runtime().stop()).resolves.toMatchObject({ outcome: 'stopped' });
    expect(await changes()).toEqual(['stop -t -1 shop-db']);
    await expect(runtime().stop()).resolves.toMatchObject({ outcome: 'already-stopped' });
    expect(await changes()).toHaveLength(1);
  });

  test('an exit code of 0 with a container that still runs is a failed fence', async () => {
    await shows('containers.json', [container()]);
    server = { state: 'running', pid: 4711, port: 5432, socketDir: null, status: 'ready' };
    await expect(runtime().stop(50)).rejects.toMatchObject({ type: 'FenceFailed' });
  }, 20_000);

  test('policy always becomes unless-stopped first: the engine would bring the old primary back with the host', async () => {
    await shows('containers.json', [container({ policy: 'always' })]);
    await shows('stopped.json', [container({ status: 'exited', policy: 'always' })]);
    const { proof } = await runtime().stop();
    expect(await changes()).toEqual(['update --restart unless-stopped shop-db', 'stop -t -1 shop-db']);
    expect(proof).toContain('unless-stopped');
  });

  test('is refused without an engine, also when no process is seen', async () => {
    await shows('containers.json', [container({ status: 'exited' })]);
    await writeFile(path.join(dir, 'down'), '');
    await expect(runtime().stop()).rejects.toMatchObject({ type: 'FenceFailed' });
  });

  test('is refused when another container runs on the same PGDATA, naming both', async () => {
    await shows('containers.json', [container(), container({ name: 'shop-db-old' })]);
    await expect(runtime().stop()).rejects.toMatchObject({
      type: 'IdentityMismatch',
      message: expect.stringMatching(/shop-db and shop-db-old \(running\)/) as string,
    });
    expect(await changes()).toEqual([]);
  });

  test('is refused when the data of the container are elsewhere than the config says', async () => {
    await shows('containers.json', [container({ source: '/data/other' })]);
    await expect(runtime().stop()).rejects.toMatchObject({ type: 'IdentityMismatch' });
    expect(await changes()).toEqual([]);
  });

  test('a server that was started by hand on the data of a stopped container is stopped too', async () => {
    await shows('containers.json', [container({ status: 'exited' })]);
    server = { state: 'running', pid: 4711, port: 5432, socketDir: '/tmp', status: 'ready' };
    await expect(runtime().stop()).resolves.toMatchObject({ outcome: 'stopped' });
    expect(stoppedByHand).toBe(1);
  });

  test('a paused container is refused with the command that helps', async () => {
    await shows('containers.json', [container({ status: 'paused' })]);
    server = { state: 'running', pid: 4711, port: 5432, socketDir: null, status: 'ready' };
    await expect(runtime().stop()).rejects.toMatchObject({
      type: 'FenceFailed',
      details: [{ hint: 'run `docker unpause shop-db`, then `pgr retry`', next: [] }],
    });
  });
});

describe('start', () => {
  test('starts, waits until sessions are accepted, and does nothing the second time', async () => {
    await shows('started.json', [container()]);
    await shows('containers.json', [container({ status: 'exited' })]);
    await expect(runtime().start()).resolves.toEqual({ outcome: 'started', pid: 4711 });
    await expect(runtime().start()).resolves.toEqual({ outcome: 'already-running', pid: 4711 });
    expect(await changes()).toEqual(['start shop-db']);
  });

  test('a missing container is not found, with what to do', async () => {
    await writeFile(path.join(dir, 'ids'), '');
    await writeFile(path.join(dir, 'containers.json'), '[]');
    await expect(runtime().start()).rejects.toMatchObject({ type: 'NotFound' });
  });

  test('is refused while a second container, even a stopped one, holds the same PGDATA', async () => {
    await shows('containers.json', [
      container({ status: 'exited' }),
      container({ name: 'shop-db-old', status: 'exited' }),
    ]);
    await expect(runtime().start()).rejects.toMatchObject({ type: 'IdentityMismatch' });
    expect(await changes()).toEqual([]);
  });

  test('a backup agent that mounts the files, and another major on the same volume, are no second server', async () => {
    const agent = container({ name: 'agent', image: 'databasus', env: [] });
    const older = container({ name: 'shop-db-17', env: ['PGDATA=/var/lib/postgresql/data'] });
    await shows('started.json', [container(), agent, older]);
    await shows('containers.json', [container({ status: 'exited' }), agent, older]);
    await expect(runtime().start()).resolves.toMatchObject({ outcome: 'started' });
  });

  test('a taken port is told as such, and the container may be started again', async () => {
    await shows('containers.json', [container({ status: 'exited' })]);
    await writeFile(
      path.join(dir, 'start-error'),
      'Error response from daemon: driver failed: Bind for 0.0.0.0:5432 failed: port is already allocated',
    );
    await expect(runtime().start()).rejects.toMatchObject({ type: 'PortTaken' });
  });

  test('a server that ends at once fails with the last lines of its log', async () => {
    await shows('started.json', [container({ status: 'exited' })]);
    await shows('containers.json', [container({ status: 'exited' })]);
    await expect(runtime().start()).rejects.toMatchObject({
      type: 'CommandFailed',
      message: expect.stringContaining('invalid permissions') as string,
    });
  });

  test('is refused while somebody works on the data outside of the container', async () => {
    await shows('containers.json', [container({ status: 'exited' })]);
    server = { state: 'unknown', why: 'postgres processes still work in it: 17' };
    await expect(runtime().start()).rejects.toMatchObject({ type: 'PreconditionFailed' });
    expect(await changes()).toEqual([]);
  });
});

describe("kamal's lock", () => {
  const details = async (): Promise<string> =>
    Buffer.from(await readFile(path.join(dir, 'lock-shop/details'), 'utf8'), 'base64').toString();
  const hold = async (text: string): Promise<void> => {
    await mkdir(path.join(dir, 'lock-shop'));
    await writeFile(path.join(dir, 'lock-shop/details'), Buffer.from(text).toString('base64'));
  };

  test('is held while the container is stopped, in the form that kamal shows, and gone afterwards', async () => {
    const lock = path.join(dir, 'lock-shop');
    const seen = await withKamalLock(lock, 'stop dallas', details);
    expect(seen).toMatch(
      /^Locked by: pgr on \S+ at \S+Z\nVersion: pgr\nMessage: stop dallas \[pid \d+ start \d+ boot \S+\]$/,
    );
    await expect(readFile(path.join(lock, 'details'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('held by a deploy, it refuses the stop and says who holds it; nothing is touched', async () => {
    await shows('containers.json', [container()]);
    await hold('Locked by: Ana at 2026-11-21T03:40:00Z\nVersion: abc\nMessage: Automatic deploy lock');
    await expect(runtime({ kamalLock: path.join(dir, 'lock-shop') }).stop()).rejects.toMatchObject({
      type: 'EnvironmentBusy',
      message: expect.stringContaining('Locked by: Ana') as string,
    });
    expect(await calls()).toEqual([]);
    expect(await details()).toContain('Ana');
  });

  test('left behind by a pgr that died on this host, it is taken over', async () => {
    await hold(
      `Locked by: pgr on ${os.hostname()} at 2026-11-21T03:40:00Z\nVersion: pgr\nMessage: stop dallas [pid 999999 start 1 boot x]`,
    );
    await expect(withKamalLock(path.join(dir, 'lock-shop'), 'stop dallas', details)).resolves.toContain(
      String(process.pid),
    );
  });

  test('of a pgr on another host it is never taken over', async () => {
    const self = await identify(process.pid);
    await hold(
      `Locked by: pgr on elsewhere at 2026-11-21T03:40:00Z\nMessage: stop x [pid 1 start ${self?.startedAt ?? ''} boot x]`,
    );
    await expect(withKamalLock(path.join(dir, 'lock-shop'), 'stop dallas', details)).rejects.toMatchObject({
      type: 'EnvironmentBusy',
    });
  });

  test('is given back when the work fails', async () => {
    const lock = path.join(dir, 'lock-shop');
    await expect(withKamalLock(lock, 'x', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    await expect(withKamalLock(lock, 'x', () => Promise.resolve('again'))).resolves.toBe('again');
  });
});

describe('where the data of a container are on the host', () => {
  const [plain] = parseInspect(JSON.stringify([container({ source: '/data/pg' })]));

  test('below the mount that covers them', () => {
    expect(hostPathOf(plain!, '/var/lib/postgresql/18/docker')).toBe('/data/pg/18/docker');
    expect(hostPathOf(plain!, '/var/lib/postgresql')).toBe('/data/pg');
  });

  test('nowhere, when no mount covers them', () => {
    expect(hostPathOf(plain!, '/var/lib/postgresql2/18')).toBeNull();
    expect(hostPathOf(plain!, '/srv')).toBeNull();
  });

  test('a link in the path of the config is the same directory', async () => {
    await symlink(path.join(dir, 'volume'), path.join(dir, 'linked'));
    await shows('containers.json', [container({ source: path.join(dir, 'linked') })]);
    await shows('stopped.json', [container({ status: 'exited', source: path.join(dir, 'linked') })]);
    await expect(runtime().stop()).resolves.toMatchObject({ outcome: 'stopped' });
  });
});
