/** Activities that a run waits for, with the progress of their last heartbeat. */
import { arrayFromPayloads, defaultPayloadConverter } from '@temporalio/common';
import type { WorkflowExecutionDescription } from '@temporalio/client';

import { isFailureType } from '../shared/failures.js';
import type { ActivityProgress, PendingActivity } from './run-client.js';

type PendingInfo = NonNullable<WorkflowExecutionDescription['raw']['pendingActivities']>[number];

/** Reads `describe()`; heartbeats of another shape than a job's progress are ignored. */
export function pendingActivities(description: Pick<WorkflowExecutionDescription, 'raw'>): PendingActivity[] {
  return (description.raw.pendingActivities ?? []).map((info) => ({
    activity: info.activityType?.name ?? '',
    attempt: info.attempt ?? 1,
    lastFailure: info.lastFailure?.message ?? null,
    lastFailureCode: failureCodeOf(info),
    progress: progressOf(heartbeatOf(info)),
  }));
}

function failureCodeOf({ lastFailure }: PendingInfo) {
  const type = lastFailure?.applicationFailureInfo?.type;
  return isFailureType(type) ? type : null;
}

function heartbeatOf({ heartbeatDetails }: PendingInfo): unknown {
  const payloads = heartbeatDetails?.payloads;
  if (payloads === null || payloads === undefined) return null;
  return arrayFromPayloads(defaultPayloadConverter, payloads)[0];
}

/** A job's progress, null when the value is none. */
function progressOf(value: unknown): ActivityProgress | null {
  if (typeof value !== 'object' || value === null) return null;
  const { done, total, unit, note } = value as Record<string, unknown>;
  if (typeof done !== 'number' || (unit !== 'bytes' && unit !== 'lsn')) return null;
  return {
    done,
    total: typeof total === 'number' ? total : null,
    unit,
    ...(typeof note === 'string' ? { note } : {}),
  };
}
