/** An activity interceptor: what an activity throws goes into the history of its run, so secrets are taken out of it here. */
import type { SecretMask } from '../activities/lib/secret-mask.js';

type Inbound<I, O> = { execute(input: I, next: (input: I) => Promise<O>): Promise<O> };

/** For `interceptors.activity` of every worker. */
export function maskFailures(mask: SecretMask) {
  return function interceptor<I, O>(): { inbound: Inbound<I, O> } {
    return {
      inbound: {
        execute: (input, next) =>
          next(input).catch((error: unknown) => {
            throw mask.maskError(error);
          }),
      },
    };
  };
}
