/** Programs of the system (HAProxy, PgBouncer) that tests start in the foreground, as children of the test process. */
import { spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

export type PeerProcess = { pid: number; stop(signal?: NodeJS.Signals): Promise<void>; log: string };

/** Where a program is, null when it is not installed. Debian keeps both in /usr/sbin, which is not on everybody's PATH. */
export function findProgram(name: string): string | null {
  const dirs = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'].filter((dir) => dir !== '');
  return dirs.map((dir) => path.join(dir, name)).find(isProgram) ?? null;
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** `describe` when every program is installed, else `describe.skip` with the reason printed. */
export function describeWith(...programs: string[]): jest.Describe {
  const missing = programs.filter((name) => findProgram(name) === null);
  if (missing.length === 0) return describe;
  process.stderr.write(`skipped: ${missing.join(', ')} not installed (apt-get install ${missing.join(' ')})\n`);
  return describe.skip;
}

/** Starts a program in the foreground and waits until `ready` says so; throws with the end of its log when it does not get there. */
export async function startPeer(options: {
  program: string;
  args: string[];
  log: string;
  runAs?: { uid: number; gid: number };
  ready: () => Promise<boolean>;
}): Promise<PeerProcess> {
  const log = await open(options.log, 'a');
  const child = spawn(options.program, options.args, {
    cwd: '/',
    stdio: ['ignore', log.fd, log.fd],
    ...(options.runAs ?? {}),
  });
  await log.close();
  const started = {
    pid: child.pid ?? 0,
    log: options.log,
    stop: (signal?: NodeJS.Signals) => stopChild(child, signal),
  };
  const deadline = Date.now() + 10_000;
  for (;;) {
    if (await options.ready().catch(() => false)) return started;
    if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) {
      await started.stop('SIGKILL');
      throw new Error(`${options.program} did not start: ${(await readFile(options.log, 'utf8')).slice(-2_000)}`);
    }
    await delay(10);
  }
}

async function stopChild(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise<void>((resolve) =>
    child.once('exit', () => {
      resolve();
    }),
  );
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), 3_000);
  await ended;
  clearTimeout(timer);
}
