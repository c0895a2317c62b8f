/**
 * Process entry of `pgr worker`: reads the config, serves the roles it is told, stops on SIGTERM or SIGINT.
 * Killing it at any moment is safe: jobs go on by themselves and Temporal gives every activity to the next worker.
 */
import { Runtime, type Worker } from '@temporalio/worker';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { createHeartbeatWriter } from '../activities/postgres/heartbeat-writer.js';
import { findConfig } from '../config/load.js';
import { FAILURES } from '../shared/failures.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import { connectWorker } from './connect.js';
import { createDeps, type WorkerDeps } from './deps.js';
import { createHostWorker } from './host.js';
import { createOrchestratorWorker } from './orchestrator.js';
import { createWorkerLogger } from './worker-logger.js';

/** `heartbeats`: a row every few seconds in the environments; the worker of a developer's machine writes none. */
type Roles = { orchestrator: boolean; hosts: string[]; heartbeats: boolean };

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      config: { type: 'string' },
      dir: { type: 'string' },
      all: { type: 'boolean', default: false },
      orchestrator: { type: 'boolean', default: false },
      embedded: { type: 'boolean', default: false },
      host: { type: 'string', multiple: true, default: [] },
    },
  });
  if (positionals[0] !== 'worker') {
    throw new Error('usage: worker [--config FILE] (--all | --orchestrator | --host NAME)');
  }
  const configPath = await findConfig({
    explicit: values.config,
    labDir: values.dir,
    env: process.env,
    cwd: process.cwd(),
  });
  const deps = await createDeps(configPath, path.dirname(path.dirname(path.resolve(process.argv[1] ?? ''))));
  const hosts = values.all ? allHosts(deps) : values.host;
  const unknown = hosts.filter((host) => !allHosts(deps).includes(host));
  if (unknown.length > 0)
    throw new Error(`host ${unknown.join(', ')} is not in the config; it knows ${allHosts(deps).join(', ')}`);
  const orchestrator = values.all || values.orchestrator || values.embedded;
  const roles: Roles = { orchestrator, hosts, heartbeats: orchestrator && !values.embedded };
  if (!roles.orchestrator && hosts.length === 0)
    throw new Error('say what to serve: --all, --orchestrator or --host NAME');
  await serve(deps, roles);
}

function allHosts(deps: WorkerDeps): string[] {
  const hosts = new Set<string>();
  for (const environment of Object.values(deps.activities.config.environments)) {
    for (const node of environment.nodes) hosts.add(node.host);
    for (const app of environment.apps) hosts.add(app.host);
    if (environment.sandbox.host !== undefined) hosts.add(environment.sandbox.host);
    if (environment.dev !== undefined) hosts.add(environment.dev.host);
  }
  return [...hosts];
}

async function serve(deps: WorkerDeps, roles: Roles): Promise<void> {
  const { log, config } = deps.activities;
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      stop.abort();
    });
  Runtime.install({ logger: createWorkerLogger(log), shutdownSignals: [] });
  const heartbeats = roles.heartbeats
    ? Object.keys(config.environments).map((environment) => createHeartbeatWriter(deps.activities, environment))
    : [];
  for (const heartbeat of heartbeats) heartbeat.start();
  const temporal = await connectWorker(
    config,
    (problem) => {
      log.warn({}, problem);
    },
    stop.signal,
  );
  if (temporal) {
    const workers = await createWorkers(deps, roles, temporal);
    log.info({ roles }, 'worker is ready');
    const running = workers.map((worker) => worker.run());
    const failed = Promise.race(running);
    await Promise.race([failed, aborted(stop.signal)]).finally(() => {
      shutdown(workers);
    });
    await Promise.allSettled(running);
    await temporal.connection.close();
    await failed;
  }
  await Promise.all(heartbeats.map((heartbeat) => heartbeat.stop()));
}

async function createWorkers(
  deps: WorkerDeps,
  roles: Roles,
  temporal: NonNullable<Awaited<ReturnType<typeof connectWorker>>>,
): Promise<Worker[]> {
  const { connection, namespace } = temporal;
  const hosts = roles.hosts.map((host) => createHostWorker(connection, namespace, host, deps));
  const orchestrator = roles.orchestrator ? [createOrchestratorWorker(connection, namespace, deps)] : [];
  return Promise.all([...hosts, ...orchestrator]);
}

function shutdown(workers: Worker[]): void {
  for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener(
      'abort',
      () => {
        resolve();
      },
      { once: true },
    );
  });
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    if (error instanceof PgrFailure) process.stderr.write(`hint: ${error.hint}\n`);
    process.exit(error instanceof PgrFailure ? FAILURES[error.code].exitCode : 1);
  },
);
