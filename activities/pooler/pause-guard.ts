/**
 * Starts the dead-man's switch of a pause before the pause, in a session of its own, so that clients go on within its deadline whatever happens to the
 * worker. One guard for each environment: a new one ends those that earlier attempts left, after it is ready itself.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { Config } from '../../config/schema.js';
import type { ActivityDeps } from '../lib/deps.js';
import { environmentOf } from '../lib/environment-config.js';
import { minimalEnvironment } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import { pollUntil } from '../lib/poll.js';
import type { PauseGuard } from '../lib/routing.js';
import { addressOf } from './create-poolers.js';
import type { GuardEnd, GuardSpec } from './guard-program.js';

/** Clients of a pooler wait at most this long for a worker that is gone. */
const DEADLINE_MS = 10_000;
const READY_TIMEOUT_MS = 10_000;
const END_TIMEOUT_MS = 5_000;
/** Directories of guards that ended this long ago are removed. */
const KEEP_MS = 24 * 3_600_000;

type Deps = { config: Config } & Pick<ActivityDeps, 'resolveSecret' | 'program'>;

/** Guards for the environments of a config. `deadlineMs`: how long a pause may last without a sign of life. */
export function createPauseGuards(deps: Deps, deadlineMs = DEADLINE_MS): (environment: string) => Promise<PauseGuard> {
  return async (name) => {
    const { poolers } = environmentOf(deps.config, name);
    if (poolers.length === 0)
      return { extend: () => Promise.resolve(), done: () => Promise.resolve({ resumed: false }) };
    const parent = path.join(deps.config.stateDir, 'pause-guards', name);
    await mkdir(parent, { recursive: true, mode: 0o700 });
    const earlier = await readdir(parent);
    const dir = await mkdtemp(path.join(parent, 'guard-'));
    const addresses = await Promise.all(
      poolers.map(async (pooler) => ({
        ...(await addressOf(pooler, deps.resolveSecret)),
        databases: pooler.databases,
      })),
    );
    const child = await launch(deps.program, { dir, deadlineMs, poolers: addresses });
    await untilReady(dir, child);
    await endEarlier(parent, earlier);
    return guardIn(dir, child);
  };
}

async function launch(program: Deps['program'], spec: GuardSpec): Promise<ChildProcess> {
  const log = await open(path.join(spec.dir, 'log'), 'a', 0o600);
  try {
    const child = spawn(program.node, [path.join(program.distDir, 'resume-poolers.cjs')], {
      detached: true,
      cwd: '/',
      stdio: ['pipe', log.fd, log.fd],
      env: minimalEnvironment(),
    });
    child.once('error', () => undefined);
    child.stdin?.on('error', () => undefined);
    // Passwords go this way: neither arguments nor environment nor a file show them.
    child.stdin?.end(JSON.stringify(spec));
    child.unref();
    return child;
  } finally {
    await log.close();
  }
}

const hasEnded = (child: ChildProcess): boolean =>
  child.exitCode !== null || child.signalCode !== null || child.pid === undefined;

async function untilReady(dir: string, child: ChildProcess): Promise<void> {
  const outcome = await pollUntil(
    async () => {
      if (await exists(path.join(dir, 'ready'))) return 'ready' as const;
      return hasEnded(child) ? ('ended' as const) : null;
    },
    { timeoutMs: READY_TIMEOUT_MS },
  );
  if (outcome === 'ready') return;
  await writeFile(path.join(dir, 'done'), '');
  const log = await readFile(path.join(dir, 'log'), 'utf8').catch(() => '');
  await rm(dir, { recursive: true, force: true });
  const why = outcome === null ? 'it is not ready in time' : log.trim().split('\n').slice(-1).join('');
  throw stepFailure('RoutingUnavailable', `the pause guard did not start, so nothing was paused: ${why.slice(0, 300)}`);
}

/** Those of earlier attempts would resume in the middle of this one's pause. */
async function endEarlier(parent: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const dir = path.join(parent, name);
    const age =
      Date.now() -
      (await stat(dir).then(
        (facts) => facts.mtimeMs,
        () => Date.now(),
      ));
    if (age > KEEP_MS) await rm(dir, { recursive: true, force: true });
    else await writeFile(path.join(dir, 'done'), '').catch(() => undefined);
  }
}

function guardIn(dir: string, child: ChildProcess): PauseGuard {
  let signs = 0;
  return {
    extend: async () => {
      if (hasEnded(child))
        throw stepFailure('RoutingUnavailable', 'the pause guard has died; nothing may be paused without it');
      signs += 1;
      await writeFile(path.join(dir, 'extend'), String(signs));
    },
    done: async () => {
      await writeFile(path.join(dir, 'done'), '').catch(() => undefined);
      const end = await pollUntil(async () => (await readEnd(dir)) ?? (hasEnded(child) ? { resumed: false } : null), {
        timeoutMs: END_TIMEOUT_MS,
      });
      await rm(dir, { recursive: true, force: true });
      return { resumed: end?.resumed ?? false };
    },
  };
}

async function readEnd(dir: string): Promise<GuardEnd | null> {
  const text = await readFile(path.join(dir, 'ended'), 'utf8').catch(() => '');
  return text === '' ? null : (JSON.parse(text) as GuardEnd);
}

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  );
