/** A real HAProxy (Debian package `haproxy`) on loopback and free ports, with the configuration that `pgr config haproxy` prints. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createConnection, type NetConnectOpts } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { connectOptions } from '../../activities/routing/haproxy-api.js';
import { haproxyCfg } from '../../config/haproxy-cfg.js';

import { findProgram, startPeer, type PeerProcess } from './peer-process.js';
import { freePort } from './ports.js';

export type HaproxyOptions = {
  /** Servers of the write and the read backend. `checkPort`: where `/primary` and `/replica` are answered. */
  nodes: { name: string; port: number; checkPort: number }[];
  /** Port of the write VIP. */
  port?: number;
  /** Runtime API on a TCP port instead of a unix socket. */
  tcpApi?: boolean;
  instance?: string;
  /** Changes the text before it is written. */
  edit?: (text: string) => string;
};

export type TestHaproxy = {
  instance: string;
  /** The write VIP, on 127.0.0.1. */
  port: number;
  readPort: number;
  backend: string;
  /** `api` and `stats` as the config of an environment wants them. */
  api: string;
  stats: string;
  configFile: string;
  pid(): number;
  start(): Promise<void>;
  stop(signal?: NodeJS.Signals): Promise<void>;
  restart(): Promise<void>;
  destroy(): Promise<void>;
};

const alive = new Set<TestHaproxy>();

/** Destroys every one of this file that was not destroyed by its test. */
export async function destroyAllHaproxies(): Promise<void> {
  await Promise.all([...alive].map((haproxy) => haproxy.destroy()));
}

/** Starts one; returns when its write VIP listens. The first checks of its servers may still be on their way. */
export async function startHaproxy(options: HaproxyOptions): Promise<TestHaproxy> {
  const program = findProgram('haproxy');
  if (program === null) throw new Error('haproxy is not installed: apt-get install haproxy');
  const dir = await mkdtemp(path.join(tmpdir(), 'pgr-hap-'));
  const { haproxy, text } = await describeInstance(dir, options);
  await writeFile(haproxy.configFile, options.edit?.(text) ?? text);
  let running: PeerProcess | null = null;
  const started: TestHaproxy = {
    ...haproxy,
    pid: () => running?.pid ?? 0,
    async start() {
      running ??= await startPeer({
        program,
        args: ['-f', haproxy.configFile, '-db'],
        log: path.join(dir, 'log'),
        // It binds its proxies first and its runtime API afterwards.
        ready: async () => (await listens(haproxy.port)) && (await accepts(connectOptions(haproxy.api))),
      });
    },
    async stop(signal = 'SIGTERM') {
      await running?.stop(signal);
      running = null;
    },
    async restart() {
      await started.stop('SIGKILL');
      await started.start();
    },
    async destroy() {
      await started.stop('SIGKILL');
      await rm(dir, { recursive: true, force: true });
      alive.delete(started);
    },
  };
  alive.add(started);
  await started.start().catch(async (error: unknown) => {
    await started.destroy();
    throw error;
  });
  return started;
}

type Described = Omit<TestHaproxy, 'pid' | 'start' | 'stop' | 'restart' | 'destroy'>;

async function describeInstance(dir: string, options: HaproxyOptions): Promise<{ haproxy: Described; text: string }> {
  const [write, read, stats, api] = await Promise.all([options.port ?? freePort(), freePort(), freePort(), freePort()]);
  const host = '127.0.0.1';
  const instance = options.instance ?? 'lb1';
  const haproxy: Described = {
    instance,
    port: write,
    readPort: read,
    backend: 'postgres_write',
    api: options.tcpApi === true ? `${host}:${String(api)}` : path.join(dir, 'api.sock'),
    stats: `http://${host}:${String(stats)}/stats`,
    configFile: path.join(dir, 'haproxy.cfg'),
  };
  const text = haproxyCfg({
    environment: 'test',
    instance,
    backend: haproxy.backend,
    write: { host, port: write },
    read: { host, port: read },
    stats: { host, port: stats, path: '/stats' },
    api: haproxy.api,
    paths: { primary: '/primary', replica: '/replica' },
    servers: options.nodes.map(({ name, port, checkPort }) => ({
      name,
      host,
      port,
      check: { host, port: checkPort, tls: false },
    })),
  });
  return { haproxy, text };
}

/** True when something accepts connections on that port of loopback. */
export async function listens(port: number): Promise<boolean> {
  return accepts({ host: '127.0.0.1', port });
}

function accepts(address: NetConnectOpts): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(address);
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => {
      done(true);
    });
    socket.once('error', () => {
      done(false);
    });
  });
}
