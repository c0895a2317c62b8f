/** What the Temporal client throws, as typed failures. */
import {
  isGrpcServiceError,
  QueryNotRegisteredError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';

import { PgrFailure } from '../shared/pgr-failure.js';

/** Codes of google.rpc.Code. A call whose deadline passes is DEADLINE_EXCEEDED, or CANCELLED when the server noticed it first. */
const CANCELLED = 1;
const DEADLINE_EXCEEDED = 4;
const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const FAILED_PRECONDITION = 9;
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

/** The gRPC code of an error or of one below it, null when there is none. */
function grpcCodeOf(error: unknown): number | null {
  for (let at: unknown = error; at instanceof Error; at = at.cause) if (isGrpcServiceError(at)) return at.code;
  return null;
}

/** True when Temporal says that it does not know the run. */
export function isUnknownRun(error: unknown): boolean {
  return error instanceof WorkflowNotFoundError || grpcCodeOf(error) === NOT_FOUND;
}

/** Nobody polls: the call waited for a worker in vain, or the server knew at once that there is none. */
export function isUnanswered(error: unknown): boolean {
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) return true;
  const code = grpcCodeOf(error);
  return (
    code === DEADLINE_EXCEEDED ||
    code === CANCELLED ||
    (code === FAILED_PRECONDITION && messagesOf(error).includes('no poller'))
  );
}

/** True when the workflow has no such query: it is not one of our runbooks. */
export function isUnknownQuery(error: unknown): boolean {
  return error instanceof QueryNotRegisteredError;
}

/** `no worker answers`: says which queue, and how to start one. */
export function noWorker(queue: string, uncertain: boolean): PgrFailure {
  const doubt = uncertain ? '; whether it arrived is not known, look with `pgr show` before you repeat it' : '';
  return new PgrFailure('HostUnreachable', `no worker answers on queue ${queue}${doubt}`, {
    hint: 'start a worker; runs wait for it and lose nothing',
    next: [
      queue.startsWith('host/') ? `pgr worker --host ${queue.slice('host/'.length)}` : 'pgr worker --orchestrator',
    ],
  });
}

/** Temporal takes updates for open runs only, and says the same of one that ended and one that never was. */
export function notRunning(run: string, cause: unknown): PgrFailure {
  return new PgrFailure('NotFound', `${run} does not run (any more)`, { next: [`pgr show ${run}`, 'pgr runs'], cause });
}

/** Everything else: connection, permission, or the error itself (typed failures of workflows pass through). */
export function clientFailure(error: unknown, address: string): unknown {
  if (error instanceof PgrFailure || error instanceof WorkflowUpdateFailedError) return error;
  const code = grpcCodeOf(error);
  if (code === UNAVAILABLE || code === DEADLINE_EXCEEDED || code === CANCELLED) return unavailable(address, error);
  if (code === PERMISSION_DENIED || code === UNAUTHENTICATED) {
    return new PgrFailure('NotAllowed', `temporal at ${address} refuses the call`, {
      hint: 'check the api key or certificate in the Temporal profile',
      cause: error,
    });
  }
  if (code === NOT_FOUND && /namespace/i.test(messagesOf(error))) {
    return new PgrFailure('TemporalUnavailable', `temporal at ${address} does not have the namespace of the config`, {
      hint: 'check temporal.namespace: `pgr config show`',
      cause: error,
    });
  }
  return error;
}

/** Temporal does not answer at its address. */
export function unavailable(address: string, cause: unknown): PgrFailure {
  return new PgrFailure('TemporalUnavailable', `temporal at ${address} does not answer`, {
    hint: 'runs are not lost, they go on when it is back; start the server or check its address with `pgr config show`',
    next: ['pgr lab up', 'pgr config show'],
    cause,
  });
}

function messagesOf(error: unknown): string {
  const messages: string[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause) messages.push(at.message);
  return messages.join(' ').toLowerCase();
}
