/** Takes a base of one node into the backup store, as a job that outlives the worker. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import type { TakeBaseInput, TakeBaseResult } from '../../../shared/contracts/activities.js';
import { compactUtc, jobIdFor } from '../../../shared/ids.js';
import type { TakeBaseOptions } from '../../lib/backup-store.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, nodeNamed } from '../../lib/environment-config.js';
import { programEnvironment } from '../../lib/exec-secrets.js';
import { runJobOrFail } from '../../lib/exec-job.js';
import { stepFailure } from '../../lib/failure.js';
import type { JobSpec } from '../../lib/job-runner.js';
import { connectNode, replicationAddress } from '../connection.js';
import { readTextIfThere, replaceFile } from '../data-directory.js';
import { requireThisHost } from './node-place.js';

export function createTakeBase(deps: ActivityDeps) {
  return async function takeBase(input: TakeBaseInput): Promise<TakeBaseResult> {
    const node = nodeNamed(environmentOf(deps.config, input.environment), input.node);
    requireThisHost(node);
    return runTakeBase(deps, input, jobIdFor(input.runId, 'take-base'));
  };
}

/** Attaches to the job when it runs, returns its result when it ended. Throws what the program found, or CommandFailed. */
export async function runTakeBase(
  deps: ActivityDeps,
  input: Omit<TakeBaseInput, 'run' | 'runId'>,
  jobId: string,
): Promise<TakeBaseResult> {
  const result = await runJobOrFail(deps.jobs, await takeBaseJob(deps, input, jobId));
  if (isTakeBaseResult(result.output)) return result.output;
  await deps.jobs.forget(jobId);
  throw stepFailure('CommandFailed', `the program that takes a base left no result (job ${jobId})`, {
    hint: `read ${result.logFile}, then \`pgr retry\``,
  });
}

/** Spec of the job; the password goes in its environment, not into a file. */
async function takeBaseJob(
  deps: ActivityDeps,
  input: Omit<TakeBaseInput, 'run' | 'runId'>,
  jobId: string,
): Promise<JobSpec> {
  const environment = environmentOf(deps.config, input.environment);
  const node = nodeNamed(environment, input.node);
  const { host, port, user, password } = await replicationAddress(deps, input.environment, input.node);
  const specPath = `${deps.jobs.directory(jobId)}.take-base.json`;
  const options: TakeBaseOptions & { environment: string } = {
    environment: input.environment,
    id: await baseIdOf(deps, input, specPath),
    kind: input.kind,
    binDir: node.binDir,
    connection: { host, port, user, password: null },
  };
  await mkdir(path.dirname(specPath), { recursive: true, mode: 0o711 });
  const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  await replaceFile(specPath, `${JSON.stringify(options)}\n`, self);
  const store = await deps.store(input.environment);
  return {
    id: jobId,
    argv: [deps.program.node, ...store.takeBaseCommand(specPath)],
    env: { ...programEnvironment(environment.backups), ...(password === null ? {} : { PGPASSWORD: password }) },
  };
}

/** `20261121-062800F`: the server's clock when the job was first asked for; later attempts read it back from the spec. */
async function baseIdOf(
  deps: ActivityDeps,
  input: Omit<TakeBaseInput, 'run' | 'runId'>,
  specPath: string,
): Promise<string> {
  const known = await readTextIfThere(specPath);
  if (known !== null) return (JSON.parse(known) as TakeBaseOptions).id;
  const now = await connectNode(deps, input.environment, input.node, {}, async (client) => {
    const { rows } = await client.query<{ now: string }>(
      `select to_char(clock_timestamp(), 'YYYY-MM-DD"T"HH24:MI:SS') as now`,
    );
    return rows[0]?.now ?? '';
  });
  return `${compactUtc(now)}${input.kind === 'full' ? 'F' : 'I'}`;
}

function isTakeBaseResult(value: unknown): value is TakeBaseResult {
  if (typeof value !== 'object' || value === null) return false;
  const result = value as Record<string, unknown>;
  return typeof result['id'] === 'string' && typeof result['timeline'] === 'number';
}
