/** The SDK's own log lines in the form of ours: warnings and errors only, one JSON object a line. */
import { DefaultLogger, type Logger } from '@temporalio/worker';

import type { Log } from '../activities/lib/deps.js';

/** Logger for Runtime.install. Activity failures are outcomes of runs and shown there, so they are warnings here. */
export function createWorkerLogger(log: Log): Logger {
  return new DefaultLogger('WARN', ({ level, message, meta }) => {
    const fields = { level, ...pick(meta) };
    log.warn(fields, message);
  });
}

function pick(meta: Record<string | symbol, unknown> | undefined): Record<string, unknown> {
  const wanted = ['workflowId', 'runId', 'activityType', 'attempt', 'taskQueue', 'error'];
  const entries = wanted.flatMap((key) => {
    const value = meta?.[key];
    return value === undefined ? [] : [[key, value instanceof Error ? value.message : value] as const];
  });
  return Object.fromEntries(entries);
}
