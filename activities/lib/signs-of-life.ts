/**
 * An activity interceptor that heartbeats each second on behalf of the activity, with the progress that it last gave. So Temporal
 * notices within seconds that a worker was killed, in steps too that wait for one long system call and have nothing to report.
 */
import type { Context } from '@temporalio/activity';

const EVERY_MS = 1_000;

type Inbound<I, O> = { execute(input: I, next: (input: I) => Promise<O>): Promise<O> };

/** For `interceptors.activity` of every worker of a host. The process gives the sign, not the work: a step that hangs ends by its own time limit. */
export function signsOfLife<I, O>(context: Context): { inbound: Inbound<I, O> } {
  const send = context.heartbeat;
  let progress: unknown;
  let lastMs = 0;
  const heartbeat = (details?: unknown): void => {
    // A bare heartbeat must not wipe the progress that people watch.
    progress = details ?? progress;
    lastMs = Date.now();
    send(progress);
  };
  Object.assign(context, { heartbeat });
  return {
    inbound: {
      async execute(input, next) {
        const timer = setInterval(() => {
          if (Date.now() - lastMs >= EVERY_MS) heartbeat();
        }, EVERY_MS);
        try {
          return await next(input);
        } finally {
          clearInterval(timer);
        }
      },
    },
  };
}
