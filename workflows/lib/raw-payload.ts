/**
 * Handlers take their argument undecoded. A payload in an encoding that the SDK does not know (the Web UI offers json/protobuf) would
 * otherwise throw while the signal is delivered, before any handler, and block the run's workflow task for ever.
 */
import {
  defaultPayloadConverter,
  rawValueTypeInfo,
  type RawValue,
  type SignalDefinition,
  type UpdateDefinition,
} from '@temporalio/common';
import { CancellationScope, defineSignal, defineUpdate } from '@temporalio/workflow';

const typeInfo = { inputTypes: [rawValueTypeInfo] };

/** The same update, taking whatever arrives. */
export function rawUpdate<Result, Args extends unknown[]>({ name }: UpdateDefinition<Result, Args>) {
  return defineUpdate<Result, [RawValue | undefined]>(name, { typeInfo });
}

/** The same signal, taking whatever arrives. */
export function rawSignal<Args extends unknown[]>({ name }: SignalDefinition<Args>) {
  return defineSignal<[RawValue | undefined]>(name, { typeInfo });
}

/** The value that was sent; a text that says so when it cannot be read. */
export function readPayload(raw: RawValue | undefined): unknown {
  if (raw === undefined) return undefined;
  try {
    return defaultPayloadConverter.fromPayload(raw.payload);
  } catch {
    return 'a payload that cannot be read';
  }
}

/**
 * The body of a handler. Handlers run in the scope of the workflow: once that is asked to cancel, any wait in them would throw, and a
 * signal handler that throws fails the whole run, in the middle of putting things back.
 */
export function shielded<T>(body: () => Promise<T>): Promise<T> {
  return CancellationScope.nonCancellable(body);
}
