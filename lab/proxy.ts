/** The write VIP of a lab: HAProxy with the configuration that `pgr config haproxy` prints, and a pg-health beside each node. */
import { mkdir } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';

import { haproxyCfg } from '../config/haproxy-cfg.js';
import { describeHaproxy } from '../config/haproxy-facts.js';
import { loadConfig } from '../config/load.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import { updateState, type LabContext } from './context.js';
import { programPath } from './extras.js';
import { replaceText } from './files.js';
import { LAB_ENVIRONMENT, type LabPaths, type NodeName } from './paths.js';
import { findRunning, startDetached, waitUntilReady, type DetachedProgram } from './process.js';
import type { LabProcess } from './state.js';

const READY_TIMEOUT_MS = 30_000;

/** Words of the command line that name this lab's HAProxy. */
export function haproxySignature(paths: LabPaths): string[] {
  return ['-f', paths.haproxyConfig];
}

/** Words of the command line that name the pg-health of a node of this lab. */
export function healthSignature(paths: LabPaths, node: NodeName): string[] {
  return ['--node', node, '--config', paths.config];
}

/** Starts the pg-health of a node unless it runs. Returns its pid. */
export async function startHealth(context: LabContext, node: NodeName): Promise<number> {
  const { paths, state, distDir, node: nodeProgram } = context;
  const port = state.ports[node === 'dallas' ? 'healthDallas' : 'healthChicago'];
  const program: DetachedProgram = {
    name: `pg-health of ${node}`,
    program: nodeProgram,
    args: [path.join(distDir, 'pg-health.cjs'), '--node', node, '--config', paths.config],
    logFile: paths.log(`pg-health-${node}`),
    signature: healthSignature(paths, node),
  };
  return startOne(context, node === 'dallas' ? 'healthDallas' : 'healthChicago', program, port);
}

/** Starts HAProxy unless it runs, with a configuration made of recovery.yaml. Returns its pid. */
export async function startHaproxy(context: LabContext): Promise<number> {
  const { paths, state } = context;
  const config = await loadConfig(paths.config);
  const environment = config.environments[LAB_ENVIRONMENT];
  const described =
    environment === undefined
      ? null
      : describeHaproxy(LAB_ENVIRONMENT, environment, { readPort: state.ports.haproxyRead });
  if (described === null || 'problems' in described) {
    throw new PgrFailure('ConfigInvalid', `${paths.config} does not describe the proxy of the lab any more`, {
      problems: described?.problems ?? [],
    });
  }
  await mkdir(path.dirname(paths.haproxyConfig), { recursive: true });
  await replaceText(paths.haproxyConfig, haproxyCfg(described.file), { mode: 0o644 });
  const program: DetachedProgram = {
    name: 'haproxy',
    program: (await programPath('haproxy')) ?? 'haproxy',
    args: ['-db', '-f', paths.haproxyConfig],
    logFile: paths.log('haproxy'),
    signature: haproxySignature(paths),
  };
  return startOne(context, 'haproxy', program, state.ports.haproxyApi);
}

/** Starts a program that listens on `port` unless it runs, and waits until it does. Returns its pid. */
export async function startOne(
  context: LabContext,
  name: LabProcess,
  program: DetachedProgram,
  port: number,
): Promise<number> {
  const { state } = context;
  const identity = (await findRunning(state.processes[name], program.signature)) ?? (await startDetached(program));
  await updateState(context, { processes: { ...state.processes, [name]: identity } });
  await waitUntilReady(program, identity, () => listens(port), READY_TIMEOUT_MS);
  return identity.pid;
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const finish = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => {
      finish(true);
    });
    socket.once('error', () => {
      finish(false);
    });
  });
}
