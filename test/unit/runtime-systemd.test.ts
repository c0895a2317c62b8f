import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { showUnitArgs } from '../../activities/runtime/commands.js';
import type { ServerControl } from '../../activities/runtime/process-runtime.js';
import { createSystemdRuntime } from '../../activities/runtime/systemd-runtime.js';
import { parseUnit, serviceOf } from '../../activities/runtime/systemd-unit.js';
import type { EnvironmentConfig, NodeConfig } from '../../config/schema.js';

/** A stand-in for systemctl and sudo that shows a prepared state, and another one after a job. Jobs are written down. */
const SYSTEMCTL = `#!/bin/sh
dir=$(dirname "$0")/..
case $1 in
  show) [ ! -e "$dir/no-bus" ] || { echo 'Failed to connect to bus: No such file or directory' >&2; exit 1; }; cat "$dir/unit" ;;
  list-units) echo 'postgresql@18-main.service loaded active running PostgreSQL Cluster 18-main' ;;
  start | stop)
    echo "$(basename "$0") $*" >>"$dir/calls"
    [ ! -e "$dir/denied" ] || { cat "$dir/denied" >&2; exit 4; }
    [ ! -e "$dir/after-$1" ] || cp "$dir/after-$1" "$dir/unit" ;;
esac
`;
const SUDO = `#!/bin/sh
dir=$(dirname "$0")/..
echo "sudo $*" >>"$dir/calls"
[ ! -e "$dir/sudo-denied" ] || { echo 'sudo: a password is required' >&2; exit 1; }
shift 2
exec "$dir/bin/systemctl" "$@"
`;
const UNIT = 'postgresql@18-main.service';

let dir: string;
let oldPath: string | undefined;
let server: Awaited<ReturnType<ServerControl['readPostmaster']>> | null;
let stoppedByHand: number;

beforeEach(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'pgr-systemd-'));
  await mkdir(path.join(dir, 'bin'));
  for (const [name, text] of Object.entries({
    systemctl: SYSTEMCTL,
    sudo: SUDO,
    journalctl: '#!/bin/sh\necho "FATAL: no space left"\n',
  })) {
    await writeFile(path.join(dir, 'bin', name), text);
    await chmod(path.join(dir, 'bin', name), 0o755);
  }
  oldPath = process.env['PATH'];
  process.env['PATH'] = `${path.join(dir, 'bin')}:${oldPath ?? ''}`;
  server = null;
  stoppedByHand = 0;
});
afterEach(async () => {
  process.env['PATH'] = oldPath;
  await rm(dir, { recursive: true, force: true });
});

type Properties = Record<string, string | number>;
const ACTIVE: Properties = {
  LoadState: 'loaded',
  ActiveState: 'active',
  SubState: 'running',
  Result: 'success',
  MainPID: 4711,
  Type: 'forking',
};
const DOWN: Properties = { ...ACTIVE, ActiveState: 'inactive', SubState: 'dead', MainPID: 0 };

async function shows(file: 'unit' | 'after-start' | 'after-stop', properties: Properties): Promise<void> {
  const text = Object.entries({ Id: UNIT, ...properties }).map(([name, value]) => `${name}=${value}\n`);
  await writeFile(path.join(dir, file), text.join(''));
}

const RUNNING = { state: 'running', pid: 4711, port: 5432, socketDir: '/run/postgresql', status: 'ready' } as const;
const control: ServerControl = {
  async readPostmaster() {
    if (server !== null) return server;
    const unit = parseUnit(await readFile(path.join(dir, 'unit'), 'utf8'));
    return unit?.active === 'active'
      ? RUNNING
      : { state: 'stopped', why: 'no postmaster.pid and no postgres process in that directory' };
  },
  startServer: () => Promise.reject(new Error('the unit starts it')),
  stopServer() {
    stoppedByHand += 1;
    server = null;
    return Promise.resolve({ outcome: 'stopped', proof: '' });
  },
};

function runtime(more: { unit?: string; sudo?: boolean } = {}) {
  const node = { name: 'dallas', dataDir: '/data', runtime: { kind: 'systemd', unit: UNIT, sudo: false, ...more } };
  return createSystemdRuntime({} as EnvironmentConfig, node as unknown as NodeConfig, control);
}

const calls = async (): Promise<string[]> =>
  (await readFile(path.join(dir, 'calls'), 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');

test('asks for the properties that tell, because exit codes do not', () => {
  expect(showUnitArgs(UNIT)).toEqual(
    expect.arrayContaining(['show', '-p', 'LoadState', 'ActiveState', 'MainPID', UNIT]),
  );
});

describe('status', () => {
  test('an active unit whose main process is the server of the data directory is running', async () => {
    await shows('unit', ACTIVE);
    await expect(runtime().status()).resolves.toMatchObject({ state: 'running', pid: 4711, accepting: true });
  });

  test('an inactive unit without a process is stopped; the proof says both', async () => {
    await shows('unit', DOWN);
    await expect(runtime().status()).resolves.toEqual({
      state: 'stopped',
      why: `unit ${UNIT} is inactive (dead); no postmaster.pid and no postgres process in that directory`,
    });
  });

  test.each([
    ['a unit that does not exist', { ...DOWN, LoadState: 'not-found' }, /there is no unit/],
    ['an umbrella unit', { ...ACTIVE, Type: 'oneshot', MainPID: 0, SubState: 'exited' }, /umbrella/],
    ['a unit that is on its way', { ...ACTIVE, ActiveState: 'deactivating', SubState: 'stop-sigterm' }, /deactivating/],
    ['an inactive unit with a job', { ...DOWN, Job: 17 }, /inactive/],
  ])('%s is unknown, never stopped', async (_, unit, why) => {
    await shows('unit', unit);
    server = { state: 'stopped', why: 'nothing seen' };
    await expect(runtime().status()).resolves.toMatchObject({
      state: 'unknown',
      why: expect.stringMatching(why) as string,
    });
  });

  test('a host without systemd is unknown', async () => {
    await shows('unit', DOWN);
    await writeFile(path.join(dir, 'no-bus'), '');
    await expect(runtime().status()).resolves.toMatchObject({ state: 'unknown' });
  });
});

describe('stop', () => {
  test('queues the job, waits for the state, and does nothing the second time', async () => {
    await shows('unit', ACTIVE);
    await shows('after-stop', DOWN);
    await expect(runtime().stop()).resolves.toMatchObject({ outcome: 'stopped' });
    await expect(runtime().stop()).resolves.toMatchObject({ outcome: 'already-stopped' });
    expect(await calls()).toEqual([`systemctl stop --no-block --no-ask-password -- ${UNIT}`]);
  });

  test('goes through sudo -n where configured', async () => {
    await shows('unit', ACTIVE);
    await shows('after-stop', DOWN);
    await runtime({ sudo: true }).stop();
    expect((await calls())[0]).toBe(`sudo -n systemctl stop --no-block --no-ask-password -- ${UNIT}`);
  });

  test.each([
    ['systemd', 'denied', false],
    ['sudo', 'sudo-denied', true],
  ])('a refusal of %s is told as such', async (_, file, sudo) => {
    await shows('unit', ACTIVE);
    await writeFile(path.join(dir, file), 'Failed to stop x.service: Access denied');
    await expect(runtime({ sudo }).stop()).rejects.toMatchObject({ type: 'NotAllowed' });
  });

  test('a unit that still runs after its time is a failed fence', async () => {
    await shows('unit', ACTIVE);
    await expect(runtime().stop(50)).rejects.toMatchObject({ type: 'FenceFailed' });
  });

  test('an umbrella unit is refused, and its instances are named', async () => {
    await shows('unit', { ...ACTIVE, Type: 'oneshot', MainPID: 0 });
    await expect(runtime({ unit: 'postgresql.service' }).stop()).rejects.toMatchObject({
      type: 'ConfigInvalid',
      details: [{ hint: expect.stringContaining(UNIT) as string, next: [] }],
    });
    expect(await calls()).toEqual([]);
  });

  test('an unknown unit is refused', async () => {
    await shows('unit', { ...DOWN, LoadState: 'not-found' });
    await expect(runtime().stop()).rejects.toMatchObject({ type: 'NotFound' });
  });

  test('a unit that runs the server of another data directory is refused', async () => {
    await shows('unit', { ...ACTIVE, MainPID: 99 });
    server = { state: 'stopped', why: 'nothing seen' };
    await expect(runtime().stop()).rejects.toMatchObject({ type: 'IdentityMismatch' });
    expect(await calls()).toEqual([]);
  });

  test('a server that was started by hand beside its stopped unit is stopped too', async () => {
    await shows('unit', DOWN);
    server = { ...RUNNING, pid: process.pid };
    await expect(runtime().stop()).resolves.toMatchObject({ outcome: 'stopped' });
    expect(stoppedByHand).toBe(1);
    expect(await calls()).toEqual([]);
  });
});

describe('start', () => {
  test('starts, waits until sessions are accepted, and does nothing the second time', async () => {
    await shows('unit', DOWN);
    await shows('after-start', ACTIVE);
    await expect(runtime().start()).resolves.toEqual({ outcome: 'started', pid: 4711 });
    await expect(runtime().start()).resolves.toEqual({ outcome: 'already-running', pid: 4711 });
    expect(await calls()).toHaveLength(1);
  });

  test('a start that systemd calls successful and that failed is a failure, with the journal', async () => {
    await shows('unit', DOWN);
    await shows('after-start', { ...DOWN, ActiveState: 'failed', SubState: 'failed', Result: 'protocol' });
    await expect(runtime().start()).rejects.toMatchObject({
      type: 'CommandFailed',
      message: expect.stringMatching(/failed.*protocol.*no space left/) as string,
    });
  });

  test('is refused while it cannot be told what works on the data', async () => {
    await shows('unit', DOWN);
    server = { state: 'unknown', why: 'processes still work there' };
    await expect(runtime().start()).rejects.toMatchObject({ type: 'PreconditionFailed' });
    expect(await calls()).toEqual([]);
  });
});

test('a process without a service has none', async () => {
  await expect(serviceOf(999_999)).resolves.toBeNull();
});
