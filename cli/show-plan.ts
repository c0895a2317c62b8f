import { FAILURES, isFailureType } from '../shared/failures.js';
import type { CliContext } from './context.js';
import { failureFrom } from './error-output.js';
import { actorOf } from './parse.js';
import type { StartedRun } from './run-client.js';
import { actionable } from './runs.js';
import { EXIT, printFamily, waitForRun } from './watch.js';

/**
 * Waits for a run that only makes a plan, and prints it. Computing a plan changes nothing, so its failure is an answer and not a run that waits for
 * somebody. `look` is the command that shows more, after a refusal by a check.
 */
export async function showPlan(context: CliContext, started: StartedRun, look: (env: string) => string): Promise<void> {
  const resolved = { ...started, source: 'temporal' as const };
  const { family, exitCode } = await waitForRun(context, resolved, {
    stopForPerson: true,
    timeoutSeconds: null,
    live: false,
  });
  if (family === null) {
    context.exit(exitCode);
    return;
  }
  const { failure, status } = actionable(family);
  if (failure === null || status === 'completed') {
    await printFamily(context, family);
    context.exit(exitCode);
    return;
  }
  if (exitCode === EXIT.needsAttention) await endParkedPlan(context, started);
  const refused = isFailureType(failure.code) && FAILURES[failure.code].exitCode === 5;
  const next = refused ? [look(family.view.environment)] : [];
  throw failureFrom(failure.code, failure.message, failure.hint, next);
}

async function endParkedPlan(context: CliContext, { run, runId }: StartedRun): Promise<void> {
  const client = await context.client();
  const input = { by: actorOf(undefined, context.env), reason: 'only the plan was asked for' };
  await client.update({ run, runId, update: 'abort', input }).catch(() => undefined);
}
