/** Failures as workflow code sees and makes them. A bare Error would not fail a run but block its workflow task for ever. */
import {
  ActivityFailure,
  ApplicationFailure,
  ChildWorkflowFailure,
  TerminatedFailure,
  TimeoutFailure,
} from '@temporalio/common';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';

import { FAILURES, isFailureType, type FailureDetails, type FailureType } from '../../shared/failures.js';

/** What a person is told of a failure. `host` is set when the host did not answer: the run then waits for it. */
export type FailureFacts = { code: FailureType; message: string; hint: string; next: string[]; host?: string };

export type RunFailureOptions = { hint?: string; next?: string[]; host?: string; also?: unknown };

/** A typed failure thrown by workflow code; never retried by Temporal, because the engine parks instead. */
export function runFailure(type: FailureType, message: string, options: RunFailureOptions = {}): ApplicationFailure {
  const details: FailureDetails & { host?: string } = {
    hint: options.hint ?? FAILURES[type].hint,
    next: options.next ?? [],
    ...(options.host === undefined ? {} : { host: options.host }),
  };
  return ApplicationFailure.create({
    type,
    message,
    nonRetryable: true,
    details: options.also === undefined ? [details] : [details, options.also],
  });
}

/** Facts of anything that was thrown. What is not of the closed list is a bug, and says so. */
export function readFailure(error: unknown): FailureFacts {
  if (error instanceof ActivityFailure) return readActivityFailure(error);
  if (error instanceof ChildWorkflowFailure) return readChildFailure(error);
  if (error instanceof ApplicationFailure) return readApplicationFailure(error);
  return facts('Bug', `unexpected: ${describe(error)}`);
}

/** The failure to end a short workflow with: typed, with its hint, without the layers around it. */
export function asRunFailure(error: unknown): ApplicationFailure {
  const { code, message, hint, next } = readFailure(error);
  return runFailure(code, message, { hint, next });
}

/** True when `error` says that a workflow with that id is running already. */
export function isAlreadyRunning(error: unknown): boolean {
  return error instanceof WorkflowExecutionAlreadyStartedError;
}

function readActivityFailure(error: ActivityFailure): FailureFacts {
  const { cause } = error;
  if (cause instanceof TimeoutFailure) return readTimeout(error.activityType, cause);
  if (cause instanceof ApplicationFailure) return readApplicationFailure(cause);
  return facts('CommandFailed', `${error.activityType} ended without a result: ${describe(cause ?? error)}`);
}

function readTimeout(activity: string, timeout: TimeoutFailure): FailureFacts {
  if (timeout.timeoutType === 'SCHEDULE_TO_START') {
    return facts('HostUnreachable', `no worker took ${activity} in time`);
  }
  if (timeout.timeoutType === 'HEARTBEAT') {
    return facts('HostUnreachable', `${activity} gave no sign of life, again and again: its worker dies or is cut off`);
  }
  return facts('CommandFailed', `${activity} did not end in the time it is given`);
}

function readChildFailure(error: ChildWorkflowFailure): FailureFacts {
  const { cause } = error;
  const child = error.execution.workflowId ?? error.workflowType;
  if (cause instanceof TerminatedFailure) {
    return facts('PreconditionFailed', `run ${child} was terminated and has not put anything back`, [
      `pgr check ${child.split('/')[0] ?? child}`,
      `pgr show ${child}`,
    ]);
  }
  if (cause instanceof ApplicationFailure) {
    const inner = readApplicationFailure(cause);
    return { ...inner, message: `run ${child}: ${inner.message}` };
  }
  return facts('PreconditionFailed', `run ${child} ended without a result: ${describe(cause ?? error)}`);
}

function readApplicationFailure(error: ApplicationFailure): FailureFacts {
  const code = isFailureType(error.type) ? error.type : 'Bug';
  const details: unknown = error.details?.[0];
  const given = details !== null && typeof details === 'object' ? (details as Partial<Record<string, unknown>>) : {};
  const next = given['next'];
  return {
    code,
    message:
      code === 'Bug' && error.type !== 'Bug' ? `unexpected ${error.type ?? 'Error'}: ${error.message}` : error.message,
    hint: typeof given['hint'] === 'string' ? given['hint'] : FAILURES[code].hint,
    next: Array.isArray(next) ? next.filter((one): one is string => typeof one === 'string') : [],
    ...(typeof given['host'] === 'string' ? { host: given['host'] } : {}),
  };
}

function facts(code: FailureType, message: string, next: string[] = []): FailureFacts {
  return { code, message, hint: FAILURES[code].hint, next };
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
