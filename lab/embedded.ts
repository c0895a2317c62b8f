/**
 * The Temporal of a machine that has none, for `pgr restore-dev`: a development server on loopback and one worker. Both outlive the command; what runs
 * already is left alone. The worker serves the developer's host and writes nothing into any environment.
 */
import { mkdir, readFile, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { once } from 'node:events';
import path from 'node:path';

import type { Config } from '../config/schema.js';
import { SEARCH_ATTRIBUTES } from './commands.js';
import { isFree } from './ports.js';
import { findRunning, startDetached, waitUntilReady, type DetachedProgram } from './process.js';
import { readRetention } from './temporal.js';
import { findTemporal } from './tools.js';

export type EmbeddedRequest = {
  config: Config;
  /** Made with the server, and asked for by everybody who connects to it. */
  namespace: string;
  configPath: string;
  host: string;
  env: Readonly<Record<string, string | undefined>>;
  node: string;
  distDir: string;
  progress: (text: string) => void;
};

const READY_TIMEOUT_MS = 60_000;
const LISTEN_TIMEOUT_MS = 1_000;
/** Start-dev's own distance between the two. */
const UI_AFTER = 1_000;
const COMMAND = 'pgr restore-dev';
const WORKER_READY_TEXT = 'worker is ready';

/** Starts what does not run; names what it started. */
export async function startEmbedded(request: EmbeddedRequest): Promise<string[]> {
  const dir = path.join(request.config.stateDir, 'embedded');
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const port = request.config.temporal.embeddedPort;
  const started: string[] = [];
  if (await startServer(request, dir, port)) started.push(`temporal at 127.0.0.1:${String(port)}`);
  if (await startWorker(request, dir)) started.push('a worker');
  return started;
}

async function listens(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port });
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(LISTEN_TIMEOUT_MS) });
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** False when a server answers at this port: ours, or one that somebody else runs. */
async function startServer(
  { config, namespace, env, progress }: EmbeddedRequest,
  dir: string,
  port: number,
): Promise<boolean> {
  const file = path.join(dir, 'temporal.db');
  const signature = ['start-dev', '--db-filename', file];
  // Another command may have started it a moment ago: then it is waited for as well.
  const running = await findRunning(undefined, signature);
  if (running === null && (await listens(port))) return false;
  const uiPort = (await isFree(port + UI_AFTER)) ? port + UI_AFTER : null;
  const toolsDir = path.join(config.stateDir, 'tools');
  const tool = await findTemporal({ toolsDir, env: { ...env }, serverUser: null, progress });
  const program: DetachedProgram = {
    name: 'temporal',
    program: tool.path,
    args: embeddedTemporalArgs({ file, port, namespace, uiPort }),
    logFile: path.join(dir, 'temporal.log'),
    signature,
  };
  const identity = running ?? (await startDetached(program));
  // It listens before its namespace is there, and a worker without one ends.
  const ready = async (): Promise<boolean> => (await readRetention(port, namespace)) !== null;
  await waitUntilReady(program, identity, ready, READY_TIMEOUT_MS, COMMAND);
  return running === null;
}

type ServerArgs = {
  file: string;
  port: number;
  namespace: string;
  /** Null for no page: another program has the port. */
  uiPort: number | null;
};

/** Arguments of the development server. Pure. */
function embeddedTemporalArgs({ file, port, namespace, uiPort }: ServerArgs): string[] {
  return [
    ...['server', 'start-dev', '--ip', '127.0.0.1', '--port', String(port)],
    ...(uiPort === null ? ['--headless'] : ['--ui-port', String(uiPort), '--ui-disable-news-fetch']),
    ...['--db-filename', file, '--namespace', namespace, '--log-level', 'warn'],
    ...SEARCH_ATTRIBUTES.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
  ];
}

/** False when one runs with this config. */
async function startWorker({ configPath, host, node, distDir, env }: EmbeddedRequest, dir: string): Promise<boolean> {
  const args = [
    path.join(distDir, 'workers', 'main.js'),
    'worker',
    '--embedded',
    '--config',
    configPath,
    '--host',
    host,
  ];
  const program: DetachedProgram = {
    name: 'worker',
    program: node,
    args,
    logFile: path.join(dir, 'worker.log'),
    signature: ['worker', '--embedded', '--config', configPath],
    env: { ...env },
  };
  if ((await findRunning(undefined, program.signature)) !== null) return false;
  const from = await stat(program.logFile).then(
    ({ size }) => size,
    () => 0,
  );
  const identity = await startDetached(program);
  const ready = async (): Promise<boolean> =>
    (await readFile(program.logFile)).subarray(from).toString('utf8').includes(WORKER_READY_TEXT);
  await waitUntilReady(program, identity, ready, READY_TIMEOUT_MS, COMMAND);
  return true;
}
