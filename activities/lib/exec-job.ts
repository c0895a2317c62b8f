/** Runs a job that must succeed: everything else becomes a typed failure, and the job is forgotten so that a retry starts it again. */
import { isFailureType, type FailureType } from '../../shared/failures.js';
import { maskSecrets } from './exec-secrets.js';
import { stepFailure } from './failure.js';
import type { JobResult, JobRunner, JobSpec, RunJobOptions } from './job-runner.js';

/**
 * Result of a job that ended with exit code 0, or (with `until`) goes on.
 * Throws what one of our own programs left in result.json as `{"failure": {type, message, hint}}`; any other end is CommandFailed with the
 * command, how it ended and its last lines.
 */
export async function runJobOrFail(jobs: JobRunner, spec: JobSpec, options: RunJobOptions = {}): Promise<JobResult> {
  const result = await jobs.run(spec, options);
  if (result.running || result.exitCode === 0) return result;
  const failure = jobFailure(spec, result);
  // Forgotten before it is reported: if we die here, the next attempt simply runs it again.
  await jobs.forget(spec.id);
  throw failure;
}

/** The typed failure of a job that did not succeed. */
export function jobFailure(spec: JobSpec, result: JobResult): Error {
  const own = ownFailure(result.output);
  if (own !== null) {
    return stepFailure(own.type, maskSecrets(own.message, spec.env), own.hint === null ? {} : { hint: own.hint });
  }
  const ended =
    result.signal === null ? `ended with exit code ${String(result.exitCode)}` : `was killed by ${result.signal}`;
  const lines = result.logTail.slice(-5).join(' | ');
  return stepFailure('CommandFailed', `${spec.argv.join(' ')} ${ended}${lines === '' ? '' : `: ${lines}`}`, {
    hint: `read ${result.logFile}, then \`pgr retry\``,
  });
}

type OwnFailure = { type: FailureType; message: string; hint: string | null };

function ownFailure(output: unknown): OwnFailure | null {
  if (!isObject(output) || !isObject(output['failure'])) return null;
  const { type, message, hint } = output['failure'];
  if (typeof type !== 'string' || !isFailureType(type) || typeof message !== 'string') return null;
  return { type, message, hint: typeof hint === 'string' ? hint : null };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
