/** A Temporal server with workers for workflow tests. Everything it starts is stopped by `stop()`. */
import type { WorkflowHandle } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import type { DecisionOutcome } from '../../shared/contracts/decisions.js';
import type { GatePolicy } from '../../shared/contracts/environment.js';
import type { PitrInput } from '../../shared/contracts/runs.js';
import type { RunStatus, RunView } from '../../shared/contracts/status.js';
import { taskQueueForHost } from '../../shared/ids.js';
import type { CommandOutcome } from '../../workflows/messages.js';
import { createStubs, Scenario, type Hosts, type Stubs } from './stub-activities.js';
import { gatePolicy } from './workflow-fixtures.js';

const SEARCH_ATTRIBUTES = ['PgrEnvironment', 'PgrRunbook', 'PgrStep', 'PgrStatus', 'PgrTarget'];
const KEYWORD = 2;
const POLL_MS = 25;
const DEADLINE_MS = 30_000;

type WorkerSet = { stop(): Promise<void> };

export type WorkflowEnv = {
  env: TestWorkflowEnvironment;
  taskQueue: string;
  hosts: Hosts;
  stubs: Stubs;
  /** A new environment with a policy for its gates. */
  scenario(policy?: Partial<GatePolicy>): Scenario;
  /** Starts the workers (they run already; for tests that stopped them). */
  startWorkers(which?: { orchestrator?: boolean; primary?: boolean; standby?: boolean }): Promise<WorkerSet>;
  workers: WorkerSet;
  start(workflow: string, workflowId: string, input: unknown): Promise<WorkflowHandle>;
  stop(): Promise<void>;
};

/** A dev server, or the time-skipping test server (with search attributes added by hand, which it cannot do by option). */
export async function createWorkflowEnv(kind: 'local' | 'time-skipping' = 'local'): Promise<WorkflowEnv> {
  quietRuntime();
  const env = kind === 'local' ? await localServer() : await timeSkippingServer();
  const unique = randomUUID().slice(0, 8);
  const taskQueue = `orchestrator-${unique}`;
  const hosts: Hosts = { primary: `h1-${unique}`, standby: `h2-${unique}` };
  const stubs = createStubs();
  const running = new Set<WorkerSet>();
  const startWorkers: WorkflowEnv['startWorkers'] = async (
    which = { orchestrator: true, primary: true, standby: true },
  ) => {
    const set = await startWorkerSet(env, taskQueue, hosts, stubs, which);
    const tracked: WorkerSet = {
      async stop() {
        running.delete(tracked);
        await set.stop();
      },
    };
    running.add(tracked);
    return tracked;
  };
  const workers = await startWorkers();
  return {
    env,
    taskQueue,
    hosts,
    stubs,
    workers,
    startWorkers,
    scenario: (policy = {}) => stubs.add(new Scenario(`env-${randomUUID().slice(0, 8)}`, hosts, gatePolicy(policy))),
    start: (workflow, workflowId, input) =>
      env.client.workflow.start(workflow, { workflowId, taskQueue, args: [input] }),
    async stop() {
      await Promise.all([...running].map((set) => set.stop()));
      await env.teardown();
    },
  };
}

function quietRuntime(): void {
  try {
    Runtime.install({
      logger: new DefaultLogger('ERROR'),
      telemetryOptions: { logging: { filter: 'error', forward: {} } },
    });
  } catch {
    // installed by another environment of this file
  }
}

async function localServer(): Promise<TestWorkflowEnvironment> {
  return TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: programOf('PGR_TEST_TEMPORAL') },
      searchAttributes: SEARCH_ATTRIBUTES.map((name) => defineSearchAttributeKey(name, 'KEYWORD')),
      log: { format: 'pretty', level: 'error' },
    },
  });
}

async function timeSkippingServer(): Promise<TestWorkflowEnvironment> {
  const env = await TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path: programOf('PGR_TEST_TEMPORAL_TEST_SERVER') } },
  });
  await env.connection.operatorService.addSearchAttributes({
    namespace: 'default',
    searchAttributes: Object.fromEntries(SEARCH_ATTRIBUTES.map((name) => [name, KEYWORD])),
  });
  return env;
}

function programOf(variable: string): string {
  const path = process.env[variable];
  if (path === undefined) throw new Error(`${variable} is not set: this test belongs into test/workflow`);
  return path;
}

async function startWorkerSet(
  env: TestWorkflowEnvironment,
  taskQueue: string,
  hosts: Hosts,
  stubs: Stubs,
  which: { orchestrator?: boolean; primary?: boolean; standby?: boolean },
): Promise<WorkerSet> {
  const common = { connection: env.nativeConnection, namespace: env.namespace ?? 'default', shutdownGraceTime: 100 };
  const wanted: Promise<Worker>[] = [];
  if (which.orchestrator === true) {
    const workflowBundle = { codePath: process.env['WF_BUNDLE'] ?? '' };
    wanted.push(Worker.create({ ...common, taskQueue, workflowBundle, activities: stubs.orchestrator }));
  }
  const onHost = (host: string): Promise<Worker> =>
    Worker.create({ ...common, taskQueue: taskQueueForHost(host), activities: stubs.host });
  if (which.primary === true) wanted.push(onHost(hosts.primary));
  if (which.standby === true) wanted.push(onHost(hosts.standby));
  const workers = await Promise.all(wanted);
  const running = workers.map((worker) => worker.run());
  return {
    async stop() {
      for (const worker of workers) worker.shutdown();
      await Promise.allSettled(running);
    },
  };
}

/** What `pgr pitr` sends. */
export function pitrInput(environment: string, more: Partial<PitrInput> = {}): PitrInput {
  return {
    environment,
    requestedBy: 'ana',
    reason: 'orders were deleted',
    requestedAt: new Date().toISOString(),
    target: { kind: 'time', value: '2026-11-21T03:42:00.000000Z' },
    promote: true,
    ...more,
  };
}

export function viewOf(handle: WorkflowHandle): Promise<RunView> {
  return handle.query<RunView>('status');
}

/** Polls the status until `test` holds; fails with the last view when it did not change for that long (a busy machine is slow, not stuck). */
export async function until(
  handle: WorkflowHandle,
  test: (view: RunView) => boolean,
  withinMs = DEADLINE_MS,
): Promise<RunView> {
  let deadline = Date.now() + withinMs;
  let last = '';
  for (;;) {
    const view = await viewOf(handle).catch(() => null);
    if (view !== null && test(view)) return view;
    const seen = JSON.stringify(view);
    if (seen !== last) deadline = Date.now() + withinMs;
    last = seen;
    if (Date.now() > deadline) {
      throw new Error(`the run ${handle.workflowId} did not come to that state: ${JSON.stringify(view)}`);
    }
    await delay(POLL_MS);
  }
}

export function untilStatus(handle: WorkflowHandle, status: RunStatus): Promise<RunView> {
  return until(handle, (view) => view.status === status);
}

/** Polls any condition of the test itself. */
export async function eventually(test: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!test()) {
    if (Date.now() > deadline) throw new Error(`never happened: ${what}`);
    await delay(POLL_MS);
  }
}

/** Decides at the open gate. */
export async function decide(
  handle: WorkflowHandle,
  decision: 'approve' | 'reject',
  by: string,
  more: Record<string, unknown> = {},
): Promise<DecisionOutcome> {
  const { gate } = await viewOf(handle);
  return handle.executeUpdate<DecisionOutcome, [unknown]>('decide', {
    args: [
      { gate: gate?.name ?? 'promote', code: gate?.code ?? '000000', by, decision, comment: 'looked at it', ...more },
    ],
  });
}

export function command(
  handle: WorkflowHandle,
  name: 'retry' | 'skip' | 'abort' | 'discard',
  payload: unknown = { by: 'ana', reason: 'because' },
): Promise<CommandOutcome> {
  return handle.executeUpdate<CommandOutcome, [unknown]>(name, { args: [payload] });
}

/** The typed failure that a run ended with. */
export async function failureOf(
  handle: WorkflowHandle,
): Promise<{ type: string; message: string; details: unknown[] }> {
  try {
    await handle.result();
  } catch (error) {
    const cause = (error as { cause?: { type?: string; message?: string; details?: unknown[] } }).cause;
    return { type: cause?.type ?? '', message: cause?.message ?? '', details: cause?.details ?? [] };
  }
  throw new Error(`run ${handle.workflowId} ended well`);
}

/** Saves the history for test/replay when PGR_SAVE_HISTORIES is set, without what belongs to this machine (paths, process ids). */
export async function saveHistory(handle: WorkflowHandle, name: string): Promise<void> {
  if (process.env['PGR_SAVE_HISTORIES'] === undefined) return;
  const file = join(process.cwd(), 'test', 'replay', 'histories', `${name}.json`);
  const history = JSON.parse(historyToJSON(await handle.fetchHistory())) as unknown;
  const text = JSON.stringify(history, (key, value: unknown) => {
    if (key === 'stackTrace') return undefined;
    return key === 'identity' ? 'worker' : value;
  });
  // Sticky task queues are named for the process and the machine.
  await writeFile(file, `${text.replaceAll(/\d+@[\w.-]+?(?=[-"])/g, 'worker@host')}\n`);
}
