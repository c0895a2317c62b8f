/** The worker of queue `orchestrator`: workflows, and activities that need only the network. */
import { Worker, type NativeConnection } from '@temporalio/worker';
import path from 'node:path';

import { createOrchestratorActivities } from '../activities/index.js';
import { ORCHESTRATOR_QUEUE } from '../shared/ids.js';
import type { WorkerDeps } from './deps.js';
import { maskFailures } from './mask-failures.js';
import { SHUTDOWN_FORCE_SECONDS, SHUTDOWN_GRACE_SECONDS } from './timeouts.js';

/** Not running yet; the workflow bundle was made by the build. */
export async function createOrchestratorWorker(
  connection: NativeConnection,
  namespace: string,
  deps: WorkerDeps,
): Promise<Worker> {
  return Worker.create({
    connection,
    namespace,
    taskQueue: ORCHESTRATOR_QUEUE,
    workflowBundle: { codePath: path.join(deps.activities.program.distDir, 'workflow-bundle.js') },
    activities: createOrchestratorActivities(deps.activities, deps.records),
    interceptors: { activity: [maskFailures(deps.mask)] },
    shutdownGraceTime: `${String(SHUTDOWN_GRACE_SECONDS)}s`,
    shutdownForceTime: `${String(SHUTDOWN_FORCE_SECONDS)}s`,
  });
}
