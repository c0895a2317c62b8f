/** Starting a runbook: prints the run and how to follow it, or waits. */
import { PgrFailure } from '../shared/pgr-failure.js';
import type { CliContext } from './context.js';
import { renderPairs } from './render/table.js';
import { shellWord } from './render/text.js';
import type { StartedRun, StartRequest } from './run-client.js';
import { reportWait, waitForRun, type WaitOptions } from './watch.js';

/** Two people in the same second: the later one gets the next second. */
const SAME_SECOND_TRIES = 5;

/**
 * Starts a run whose id carries the second in which it was asked for; a name that is taken moves on to the next second.
 * `build` makes the request for a time.
 */
export async function startAtFreeSecond(
  context: CliContext,
  build: (requestedAt: string) => StartRequest,
): Promise<StartedRun> {
  const client = await context.client();
  const now = context.now().getTime();
  for (let tries = 0; ; tries += 1) {
    try {
      return await client.start(build(new Date(now + tries * 1000).toISOString()));
    } catch (error) {
      const taken = error instanceof PgrFailure && error.code === 'EnvironmentBusy';
      if (!taken || tries === SAME_SECOND_TRIES) throw error;
    }
  }
}

/** After a start: `facts` are the lines that say what it acts on and what will change. */
export async function afterStart(
  context: CliContext,
  started: StartedRun,
  wait: WaitOptions | null,
  facts: readonly (readonly [string, string | null])[],
): Promise<void> {
  const client = await context.client();
  const ui = client.uiLink(started.run, started.runId);
  const text = renderPairs([
    ['run', started.run],
    ...facts,
    ['ui', ui],
    ['next', `pgr watch ${shellWord(started.run)}`],
  ]);
  if (wait === null) {
    context.result({ ...started, ui }, () => text);
    return;
  }
  context.io.err(text);
  const resolved = { ...started, source: 'temporal' as const };
  await reportWait(context, resolved, await waitForRun(context, resolved, wait));
}
