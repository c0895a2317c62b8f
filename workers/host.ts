/** The worker of queue `host/<name>`: activities that touch data directories and servers of that host. */
import { Worker, type NativeConnection } from '@temporalio/worker';

import { createHostActivities } from '../activities/index.js';
import { signsOfLife } from '../activities/lib/signs-of-life.js';
import { taskQueueForHost } from '../shared/ids.js';
import type { WorkerDeps } from './deps.js';
import { maskFailures } from './mask-failures.js';
import { HEARTBEAT_THROTTLE, SHUTDOWN_FORCE_SECONDS, SHUTDOWN_GRACE_SECONDS } from './timeouts.js';

/** Not running yet. It holds no workflow code, so it is small. */
export async function createHostWorker(
  connection: NativeConnection,
  namespace: string,
  host: string,
  deps: WorkerDeps,
): Promise<Worker> {
  return Worker.create({
    connection,
    namespace,
    taskQueue: taskQueueForHost(host),
    activities: createHostActivities(deps.activities),
    // Workflows give these activities a heartbeat timeout of seconds, so every one of them has to beat.
    interceptors: { activity: [signsOfLife, maskFailures(deps.mask)] },
    maxConcurrentActivityTaskExecutions: 20,
    maxHeartbeatThrottleInterval: HEARTBEAT_THROTTLE,
    defaultHeartbeatThrottleInterval: HEARTBEAT_THROTTLE,
    shutdownGraceTime: `${String(SHUTDOWN_GRACE_SECONDS)}s`,
    shutdownForceTime: `${String(SHUTDOWN_FORCE_SECONDS)}s`,
  });
}
