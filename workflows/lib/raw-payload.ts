/**
 * Handlers take their argument undecoded. A payload in an encoding that the SDK does not know (the Web UI offers json/protobuf) would
 * otherwise throw while the signal is delivered, before any handler, and block the run's workflow task for ever.
 */
import { defaultPayloadConverter, rawValueTypeInfo, type RawValue } from '@temporalio/common';
import { defineSignal, defineUpdate } from '@temporalio/workflow';

const typeInfo = { inputTypes: [rawValueTypeInfo] };

/** The update of that name, taking whatever arrives. */
export function rawUpdate<Result>(name: string) {
  return defineUpdate<Result, [RawValue | undefined]>(name, { typeInfo });
}

/** The signal of that name, taking whatever arrives. */
export function rawSignal(name: string) {
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
