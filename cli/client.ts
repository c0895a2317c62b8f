/**
 * The command line's side of Temporal. Every call has a deadline: an update on a queue without a worker would otherwise wait for
 * ever, and at 3 a.m. a command that hangs is worse than one that says who does not answer.
 */
import {
  Client,
  Connection,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  type WorkflowHandle,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Config } from '../config/schema.js';
import type { RunView } from '../shared/contracts/status.js';
import { ORCHESTRATOR_QUEUE } from '../shared/ids.js';
import { escapeMarkdown } from '../shared/markdown.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import { webLink } from '../shared/web-link.js';
import {
  clientFailure,
  isUnanswered,
  isUnknownQuery,
  isUnknownRun,
  notRunning,
  noWorker,
  unavailable,
} from './client-errors.js';
import { findRuns, listRuns } from './client-visibility.js';
import { pendingActivities } from './client-pending.js';
import type { RunClient, RunOutcome, StartedRun, StartRequest } from './run-client.js';

/** To connect: a server on this machine needs milliseconds, one across the world less than a second. */
const CONNECT_MS = 4_000;
/** Reads and starts. */
const CALL_MS = 10_000;
/** A query needs a worker, which may have to replay a history first. */
const QUERY_MS = 8_000;
/** An update may check a signature and writes the record before it answers. */
const UPDATE_MS = 45_000;
/** A run that has ended is closed within milliseconds; notices on their way hold it up for longer. */
const CLOSING_MS = 5_000;
const CLOSING_LOOK_MS = 50;

export type Connected = { connection: Connection; client: Client; address: string; namespace: string };

/** Where Temporal is: the config first, then the standard variables and profile. */
export function temporalTarget(config: Config): { address: string; namespace: string; options: object } {
  const standard = loadClientConnectConfig();
  const { address: profileAddress, ...rest } = standard.connectionOptions;
  const own = config.temporal.address;
  return {
    address: own ?? profileAddress ?? `127.0.0.1:${String(config.temporal.embeddedPort)}`,
    namespace: config.temporal.namespace ?? standard.namespace ?? 'default',
    // The profile's certificates belong to the profile's address.
    options: own === undefined ? rest : {},
  };
}

/** False when neither the config nor the standard variables and profile name a server. */
export function temporalNamed(config: Config): boolean {
  return config.temporal.address !== undefined || loadClientConnectConfig().connectionOptions.address !== undefined;
}

/** Connects. Throws TemporalUnavailable. */
export async function connectRunClient(config: Config): Promise<RunClient> {
  const { address, namespace, options } = temporalTarget(config);
  await probeLoopback(address);
  let connection: Connection;
  try {
    connection = await Connection.connect({ ...options, address, connectTimeout: CONNECT_MS });
  } catch (error) {
    throw unavailable(address, error);
  }
  const client = new Client({ connection, namespace, identity: 'pgr' });
  return createRunClient({ connection, client, address, namespace }, config.temporal.ui ?? null);
}

/**
 * The gRPC client tries a refused connection again until its time is over. On this machine a refusal is final, and somebody
 * whose lab is down should not wait for it.
 */
async function probeLoopback(address: string): Promise<void> {
  const match = /^(127\.[\d.]+|localhost|\[::1\]):(\d+)$/.exec(address);
  if (match === null) return;
  const socket = connect({ host: match[1]?.replace(/[[\]]/g, '') ?? '', port: Number(match[2]) });
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(CONNECT_MS) });
  } catch (error) {
    throw unavailable(address, error);
  } finally {
    socket.destroy();
  }
}

/** The client over an open connection. */
export function createRunClient(connected: Connected, ui: string | null): RunClient {
  const { connection, client, address, namespace } = connected;
  const within = async <T>(milliseconds: number, call: () => Promise<T>): Promise<T> => {
    try {
      return await connection.withDeadline(Date.now() + milliseconds, call);
    } catch (error) {
      throw clientFailure(error, address);
    }
  };
  const handle = (run: string, runId?: string): WorkflowHandle => client.workflow.getHandle(run, runId);
  const orUnknown = async <T>(call: Promise<T>): Promise<T | null> => {
    try {
      return await call;
    } catch (error) {
      if (isUnknownRun(error)) return null;
      throw error;
    }
  };
  const self: RunClient = {
    start: (request) => startRun(connected, self, request, within),
    execute: (request, deadlineMs) => executeRun(connected, self, request, deadlineMs, within),
    find: (text) => within(CALL_MS, () => findRuns(client, text)),
    list: (filter) => within(CALL_MS, () => listRuns(client, filter)),
    status: (run, runId) => orUnknown(readStatus(connection, handle(run, runId), address)),
    pending: async (run, runId) => pendingActivities(await within(CALL_MS, () => handle(run, runId).describe())),
    update: async ({ run, runId, update, input }) => {
      await requirePoller(connected, within);
      try {
        return await connection.withDeadline<unknown>(Date.now() + UPDATE_MS, () =>
          handle(run, runId).executeUpdate<unknown, [unknown]>(update, { args: [input] }),
        );
      } catch (error) {
        if (isUnanswered(error)) throw noWorker(ORCHESTRATOR_QUEUE, true);
        if (isUnknownRun(error)) throw notRunning(run, error);
        throw clientFailure(error, address);
      }
    },
    outcome: async (run, runId) => {
      const isOpen = async (): Promise<boolean | null> => {
        const description = await orUnknown(within(CALL_MS, () => handle(run, runId).describe()));
        return description === null ? null : description.closeTime === undefined;
      };
      const open = await untilClosed(self, { run, ...(runId === undefined ? {} : { runId }) }, isOpen);
      if (open === null) return null;
      return open ? { state: 'open' } : readOutcome(() => within<unknown>(CALL_MS, () => handle(run, runId).result()));
    },
    hasWorker: (queue) => within(CALL_MS, () => hasPollers(connected, queue)),
    uiLink: (run, runId) => (ui === null ? null : webLink(ui, namespace, run, runId)),
    close: () => connection.close(),
  };
  return self;
}

type DescribeTaskQueueRequest = Parameters<Client['workflowService']['describeTaskQueue']>[0];
type Within = <T>(milliseconds: number, call: () => Promise<T>) => Promise<T>;

async function readStatus(connection: Connection, handle: WorkflowHandle, address: string): Promise<RunView> {
  try {
    return await connection.withDeadline(Date.now() + QUERY_MS, () => handle.query<RunView>('status'));
  } catch (error) {
    if (isUnknownRun(error)) throw error;
    if (isUnknownQuery(error)) {
      throw new PgrFailure('NotFound', `${handle.workflowId} is not a run of a runbook`, { cause: error });
    }
    if (isUnanswered(error)) throw noWorker(ORCHESTRATOR_QUEUE, false);
    throw clientFailure(error, address);
  }
}

async function readOutcome(result: () => Promise<unknown>): Promise<RunOutcome> {
  try {
    return { state: 'completed', result: await result(), error: null };
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    const details = error.cause instanceof ApplicationFailure ? (error.cause.details ?? []) : [];
    return { state: 'failed', result: details[1] ?? null, error: error.cause ?? error };
  }
}

/**
 * A run says how it ended a moment before Temporal closes it. Whoever asks for its result or starts the next one in that moment waits for it: looks
 * again while `isOpen` and the run itself says that it has ended.
 */
async function untilClosed<T>(
  self: RunClient,
  { run, runId }: { run: string; runId?: string },
  isOpen: () => Promise<T>,
): Promise<T> {
  const deadline = Date.now() + CLOSING_MS;
  for (;;) {
    const open = await isOpen();
    if (open !== true || Date.now() > deadline) return open;
    const view = await self.status(run, runId).catch(() => null);
    if (view === null || view.endedAt === null) return open;
    await sleep(CLOSING_LOOK_MS);
  }
}

async function startRun(
  connected: Connected,
  self: RunClient,
  request: StartRequest,
  within: Within,
): Promise<StartedRun> {
  const started = await untilClosed(
    self,
    { run: request.id },
    async () => (await tryStart(connected, request, within)) ?? true,
  );
  if (started !== true) return started;
  throw busy(await self.status(request.id).catch(() => null), request);
}

/** Null when another run has the id. */
async function tryStart({ client }: Connected, request: StartRequest, within: Within): Promise<StartedRun | null> {
  try {
    const handle = await within(CALL_MS, () =>
      client.workflow.start(request.workflow, {
        workflowId: request.id,
        taskQueue: ORCHESTRATOR_QUEUE,
        args: [request.input],
        // The server is the lock: whoever has the id keeps it.
        workflowIdConflictPolicy: 'FAIL',
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        // The Web UI shows it as Markdown, raw HTML included; the name of a restore point could be anything.
        staticSummary: escapeMarkdown(request.summary),
        memo: { environment: request.environment, requestedBy: request.requestedBy, reason: request.reason },
      }),
    );
    return { run: handle.workflowId, runId: handle.firstExecutionRunId };
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return null;
    throw error;
  }
}

function busy(holder: RunView | null, { id, environment }: StartRequest): PgrFailure {
  const step = holder?.steps.find(({ status }) => status === 'running' || status === 'waiting' || status === 'failed');
  const who = holder === null ? '' : ` (${holder.runbook}, ${holder.status}, asked for by ${holder.requestedBy})`;
  const where = step === undefined ? '' : ` at step ${step.id}`;
  return new PgrFailure('EnvironmentBusy', `environment ${environment} is held by ${id}${who}${where}`, {
    hint: 'one change per environment at a time: wait for it, or end it',
    next: [`pgr watch ${id}`],
  });
}

async function executeRun(
  connected: Connected,
  self: RunClient,
  request: StartRequest,
  deadlineMs: number,
  within: Within,
): Promise<unknown> {
  await requirePoller(connected, within);
  const { run, runId } = await self.start(request);
  const { client, connection, address } = connected;
  try {
    return await connection.withDeadline(Date.now() + deadlineMs, () => client.workflow.getHandle(run, runId).result());
  } catch (error) {
    // The answer is wanted now or not at all: nobody will come back for it.
    if (!isUnanswered(error)) throw clientFailure(error, address);
    await within(CALL_MS, () => client.workflow.getHandle(run, runId).terminate('nobody waits for it any more')).catch(
      () => undefined,
    );
    throw new PgrFailure('HostUnreachable', `${request.summary} got no answer within ${String(deadlineMs / 1000)} s`, {
      hint: 'look at the workers and their logs',
      next: [`pgr check ${request.environment}`],
    });
  }
}

/** Fails at once when nobody has polled the queue of the workflows in the last minutes. */
async function requirePoller(connected: Connected, within: Within): Promise<void> {
  if (!(await within(CALL_MS, () => hasPollers(connected, ORCHESTRATOR_QUEUE))))
    throw noWorker(ORCHESTRATOR_QUEUE, false);
}

async function hasPollers({ client, namespace }: Connected, queue: string): Promise<boolean> {
  // Workflow tasks and activity tasks have pollers of their own (enums.proto, TaskQueueType: 1 and 2).
  const taskQueueType: unknown = queue === ORCHESTRATOR_QUEUE ? 1 : 2;
  const request = { namespace, taskQueue: { name: queue }, taskQueueType } as DescribeTaskQueueRequest;
  const answer = await client.workflowService.describeTaskQueue(request);
  return answer.pollers.length > 0;
}
