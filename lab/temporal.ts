/** The Temporal development server of the lab, and what the lab asks it. */
import { Client, Connection } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';

import { faultPoint } from '../activities/lib/fault-points.js';
import { runProgramOrFail } from '../activities/lib/exec.js';
import { retentionArgs, temporalArgs } from './commands.js';
import { updateState, type LabContext } from './context.js';
import { LAB_ENVIRONMENT, LAB_NAMESPACE, type LabPaths } from './paths.js';
import { findRunning, startDetached, waitUntilReady, type DetachedProgram } from './process.js';
import { changeIdFor } from '../shared/ids.js';
import type { OpenChange } from './nodes-to-leave.js';
import type { LabState } from './state.js';

/** For tests: the process dies here when armed, after the server was started and before anybody wrote down its pid. */
export const FAULT_LAB_TEMPORAL_SPAWNED = 'lab-temporal-spawned';

/** A new database is ready in under a second; a busy machine takes longer. */
const READY_TIMEOUT_MS = 60_000;
const RETENTION_SECONDS = 90 * 24 * 3600;

/** Words of the command line that name this lab's server. */
export function temporalSignature(paths: LabPaths): string[] {
  return ['start-dev', '--db-filename', paths.temporalDb];
}

/** Starts the server unless it runs, waits until its namespace answers, sets the retention. Returns its pid. */
export async function startTemporal(context: LabContext): Promise<number> {
  const { paths, state } = context;
  const port = state.ports.temporal;
  const program: DetachedProgram = {
    name: 'temporal',
    program: state.tools.temporal.path,
    args: temporalArgs(paths, state.ports),
    logFile: paths.log('temporal'),
    signature: temporalSignature(paths),
  };
  let identity = await findRunning(state.processes.temporal, program.signature);
  if (identity === null) {
    identity = await startDetached(program);
    faultPoint(FAULT_LAB_TEMPORAL_SPAWNED);
  }
  await updateState(context, { processes: { ...state.processes, temporal: identity } });
  await waitUntilReady(
    program,
    identity,
    async () => (await readRetention(port, LAB_NAMESPACE)) !== null,
    READY_TIMEOUT_MS,
  );
  if ((await readRetention(port, LAB_NAMESPACE)) !== RETENTION_SECONDS) {
    await runProgramOrFail(state.tools.temporal.path, retentionArgs(state.ports));
  }
  return identity.pid;
}

/** Retention of a namespace in seconds; null while the server at this port of loopback or the namespace does not answer. */
export async function readRetention(port: number, namespace: string): Promise<number | null> {
  try {
    return await withConnection(port, async (connection) => {
      const found = await connection.workflowService.describeNamespace({ namespace });
      return Number(found.config?.workflowExecutionRetentionTtl?.seconds ?? 0);
    });
  } catch {
    return null;
  }
}

async function withConnection<T>(port: number, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address: `127.0.0.1:${String(port)}`, connectTimeout: 2_000 });
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

/** A client of the lab's namespace, closed afterwards. */
export async function withTemporal<T>(
  state: Pick<LabState, 'ports'>,
  work: (temporal: { client: Client; connection: Connection }) => Promise<T>,
): Promise<T> {
  return withConnection(state.ports.temporal, (connection) =>
    work({ client: new Client({ connection, namespace: LAB_NAMESPACE }), connection }),
  );
}

/** The change that is under way in the lab (promotion, flip, rebuild, undo), as its search attributes say; null when there is none. */
export async function readOpenChange(state: LabState): Promise<OpenChange | null> {
  return withTemporal(state, async ({ client }) => {
    const id = changeIdFor(LAB_ENVIRONMENT);
    for await (const found of client.workflow.list({ query: `WorkflowId = "${id}" AND ExecutionStatus = "Running"` })) {
      const attribute = (name: string): string | undefined =>
        found.typedSearchAttributes.get(defineSearchAttributeKey(name, SearchAttributeType.KEYWORD));
      return {
        runbook: attribute('PgrRunbook') ?? found.type,
        step: attribute('PgrStep') ?? '',
        target: attribute('PgrTarget') ?? '',
      };
    }
    return null;
  });
}
