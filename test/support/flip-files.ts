/** A router and a pooler whose state is in files, so that it outlives a process that is killed in the middle of a flip. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import type { PauseGuard, Pooler, RoutingProvider } from '../../activities/lib/routing.js';
import { stepFailure } from '../../activities/lib/failure.js';

export type RouterFile = { target: string; fenced: string[]; released: string[]; broken: boolean };
/** `pausedUntilMs` is the guard: a pause ends by itself. */
export type PoolerFile = { pausedUntilMs: number; stuck: boolean; longestPauseMs: number; pausedAtMs: number };

export const GUARD_MS = 10_000;

const routerFile = (dir: string): string => path.join(dir, 'router.json');
const poolerFile = (dir: string): string => path.join(dir, 'pooler.json');

export const readRouter = (dir: string): RouterFile => JSON.parse(readFileSync(routerFile(dir), 'utf8')) as RouterFile;
export const readPooler = (dir: string): PoolerFile => JSON.parse(readFileSync(poolerFile(dir), 'utf8')) as PoolerFile;

/** As a whole: other processes read it at any moment. */
function replaceFile(file: string, text: string): void {
  const temporary = `${file}.${String(process.pid)}.tmp`;
  writeFileSync(temporary, text);
  renameSync(temporary, file);
}

export function changeRouter(dir: string, change: Partial<RouterFile>): void {
  replaceFile(routerFile(dir), JSON.stringify({ ...readRouter(dir), ...change }));
}

export function changePooler(dir: string, change: Partial<PoolerFile>): void {
  replaceFile(poolerFile(dir), JSON.stringify({ ...readPooler(dir), ...change }));
}

export function makeRouteFiles(dir: string, target: string): void {
  replaceFile(routerFile(dir), JSON.stringify({ target, fenced: [], released: [], broken: false }));
  replaceFile(poolerFile(dir), JSON.stringify({ pausedUntilMs: 0, stuck: false, longestPauseMs: 0, pausedAtMs: 0 }));
}

/** Where a client of the write address gets now; null while nobody is behind it or the pooler makes it wait. */
export function routedNode(dir: string): string | null {
  const { target, fenced } = readRouter(dir);
  if (Date.now() < readPooler(dir).pausedUntilMs) return null;
  return fenced.includes(target) ? null : target;
}

export function fileRouting(dir: string): RoutingProvider {
  const requireWorking = (): void => {
    if (readRouter(dir).broken) throw stepFailure('RoutingUnavailable', 'the router does not answer');
  };
  const act = (work: () => void): Promise<void> =>
    Promise.resolve().then(() => {
      requireWorking();
      work();
    });
  return {
    kind: 'haproxy',
    label: 'haproxy test',
    limits: [],
    open: async () => {
      await act(() => undefined);
      return {
        servers: () => Promise.resolve([]),
        fence: (node) =>
          act(() => {
            changeRouter(dir, { fenced: [...new Set([...readRouter(dir).fenced, node])] });
          }),
        route: (node) =>
          act(() => {
            changeRouter(dir, { target: node, fenced: readRouter(dir).fenced.filter((one) => one !== node) });
          }),
        release: (node) =>
          act(() => {
            changeRouter(dir, { released: [...readRouter(dir).released, node] });
          }),
        close: () => Promise.resolve(),
      };
    },
  };
}

export function filePooler(dir: string): Pooler {
  const name = 'pgb';
  const session = {
    name,
    state: () => Promise.resolve({ name, state: 'active' as const, why: null, waiting: 0 }),
    pause: () => {
      if (readPooler(dir).stuck) {
        const blocker = { pid: 42, database: 'shop', user: 'app', ageSeconds: 77, query: 'select pg_sleep(1000)' };
        return Promise.resolve({ outcome: 'gave-up' as const, blockers: [blocker] });
      }
      changePooler(dir, { pausedUntilMs: Date.now() + GUARD_MS, pausedAtMs: Date.now() });
      return Promise.resolve({ outcome: 'paused' as const, ms: 1, ended: [] });
    },
    resume: () => {
      const { pausedUntilMs, pausedAtMs, longestPauseMs } = readPooler(dir);
      const paused = pausedUntilMs === 0 ? 0 : Math.min(Date.now(), pausedUntilMs) - pausedAtMs;
      changePooler(dir, { pausedUntilMs: 0, longestPauseMs: Math.max(longestPauseMs, paused) });
      return Promise.resolve();
    },
    reconnect: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  return { name, open: () => Promise.resolve(session) };
}

/** The guard's work is done by `pausedUntilMs`, which clients look at themselves. */
export function fileGuard(dir: string): PauseGuard {
  return {
    extend: () => {
      if (readPooler(dir).pausedUntilMs > 0) changePooler(dir, { pausedUntilMs: Date.now() + GUARD_MS });
      return Promise.resolve();
    },
    done: () => Promise.resolve({ resumed: false }),
  };
}
