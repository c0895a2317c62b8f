import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { identify, isAlive } from '../../../activities/lib/process-identity.js';
import { findRunning, startDetached, stopProcess, waitUntilReady } from '../../../lab/process.js';
import { chooseFreePort, isFree, PORT_NAMES, replaceTaken, type LabPorts } from '../../../lab/ports.js';

const IDLE = 'setInterval(() => undefined, 1000)';
let dir: string;
const started: { pid: number; startedAt: string }[] = [];

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'pgr-process-'));
});

afterEach(async () => {
  for (const identity of started.splice(0)) await stopProcess(identity, 0);
  await rm(dir, { recursive: true, force: true });
});

async function start(script: string, mark: string): Promise<{ pid: number; startedAt: string }> {
  const identity = await startDetached({
    name: 'test',
    program: process.execPath,
    args: ['-e', script, '--', '--mark', mark],
    logFile: path.join(dir, 'log'),
    signature: ['--mark', mark],
  });
  started.push(identity);
  return identity;
}

describe('programs that outlive lab up', () => {
  it('are found again by their command line when nobody wrote down their pid', async () => {
    const identity = await start(IDLE, dir);
    expect(await findRunning(undefined, ['--mark', dir])).toEqual(identity);
    expect(await findRunning(undefined, ['--mark', `${dir}-other`])).toBeNull();
  });

  it('are not mistaken for a stranger who has their pid and start mark after a reboot', async () => {
    const own = await identify(process.pid);
    expect(await findRunning(own ?? undefined, ['--mark', dir])).toBeNull();
  });

  it('are stopped, even when they do not listen to TERM; a process with another start mark is left alone', async () => {
    const deaf = await start(`process.on('SIGTERM', () => undefined); ${IDLE}`, dir);
    expect(await stopProcess({ pid: deaf.pid, startedAt: '1' }, 50)).toBe('already-stopped');
    expect(await isAlive(deaf)).toBe(true);
    expect(await stopProcess(deaf, 200)).toBe('stopped');
    expect(await isAlive(deaf)).toBe(false);
    expect(await stopProcess(deaf, 200)).toBe('already-stopped');
  });

  it('that end by themselves are reported with what they wrote', async () => {
    const identity = await start("console.log('the disk is full'); process.exit(1)", dir);
    const ready = waitUntilReady(
      { name: 's3', logFile: path.join(dir, 'log') },
      identity,
      () => Promise.resolve(false),
      10_000,
    );
    await expect(ready).rejects.toThrow(/s3 ended by itself: .*the disk is full/);
  });

  it('write to a log that is kept over restarts', async () => {
    for (const word of ['one', 'two']) {
      const identity = await start(`console.log('${word}'); ${IDLE}`, dir);
      const ready = async (): Promise<boolean> => (await readFile(path.join(dir, 'log'), 'utf8')).includes(word);
      await waitUntilReady({ name: 'x', logFile: path.join(dir, 'log') }, identity, ready, 10_000);
      await stopProcess(identity, 1_000);
    }
    expect(await readFile(path.join(dir, 'log'), 'utf8')).toBe('one\ntwo\n');
  });
});

describe('ports of the lab', () => {
  let stranger: Server | undefined;
  let child: ChildProcess | undefined;

  afterEach(async () => {
    stranger?.close();
    child?.kill('SIGKILL');
    if (child !== undefined) await once(child, 'exit').catch(() => undefined);
  });

  it('are kept, and chosen again only where a stranger listens', async () => {
    const taken = new Set<number>();
    const ports = {} as LabPorts;
    for (const name of PORT_NAMES) {
      ports[name] = await chooseFreePort(taken);
      taken.add(ports[name]);
    }
    expect(await replaceTaken(ports, PORT_NAMES)).toBe(ports);
    stranger = createServer().listen(ports.dallas, '127.0.0.1');
    await once(stranger, 'listening');
    expect(await isFree(ports.dallas)).toBe(false);
    const moved = await replaceTaken(ports, PORT_NAMES);
    expect(moved.dallas).not.toBe(ports.dallas);
    expect({ ...moved, dallas: 0 }).toEqual({ ...ports, dallas: 0 });
    expect(await replaceTaken(ports, ['chicago'])).toBe(ports);
  });

  it('of a process that another program holds on all interfaces count as taken', async () => {
    child = spawn(process.execPath, [
      '-e',
      "require('net').createServer().listen(0, '0.0.0.0', function () { console.log(this.address().port) })",
    ]);
    const [data] = (await once(child.stdout!, 'data')) as [Buffer];
    expect(await isFree(Number(data.toString()))).toBe(false);
  });
});
