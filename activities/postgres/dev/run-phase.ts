/** Runs one phase of a restore as a job that outlives the worker. On a retry: attaches to it, or runs it again, which goes on where it was. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import type { DevPhaseInput, DevPhaseResult } from '../../../shared/contracts/dev.js';
import { jobIdFor } from '../../../shared/ids.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { devOf } from '../../lib/environment-config.js';
import { runJobOrFail } from '../../lib/exec-job.js';
import { programEnvironment } from '../../lib/exec-secrets.js';
import { writeWhole } from '../../lib/write-whole.js';
import type { PhaseSpec } from './phase.js';
import { journalOf } from './server-settings.js';
import { requireDevAddress } from './target-address.js';

type Deps = Pick<ActivityDeps, 'config' | 'resolveSecret' | 'jobs' | 'program'>;

/** Throws what the phase found: CommandFailed, BackupCorrupt, IdentityMismatch, EnvironmentBusy, DatabaseUnavailable … */
export function createRunDevPhase(deps: Deps) {
  return async function runDevPhase({
    plan,
    runId,
    phase,
    file,
    systemIdentifier,
  }: DevPhaseInput): Promise<DevPhaseResult> {
    const { config, jobs, program } = deps;
    const dev = devOf(config, plan.environment);
    requireDevAddress(plan.target, dev.hosts, config.environments);
    const { host, port, user, password: reference } = plan.target;
    const spec: PhaseSpec = {
      ...{ plan, phase, file, binDir: dev.binDir ?? null },
      server: { host, port, user, systemIdentifier },
      journal: journalOf(config.stateDir, systemIdentifier),
    };
    const id = jobIdFor(runId, `dev-${phase}`);
    const specPath = path.join(config.stateDir, 'restore-dev', 'specs', `${id}.json`);
    await mkdir(path.dirname(specPath), { recursive: true, mode: 0o700 });
    await writeWhole(specPath, `${JSON.stringify(spec)}\n`);
    const password = reference === null ? {} : { PGPASSWORD: await deps.resolveSecret(reference) };
    const result = await runJobOrFail(jobs, {
      id,
      argv: [program.node, `${program.distDir}/restore-dev.cjs`, specPath],
      env: { ...programEnvironment({}), ...password },
    });
    return result.output as DevPhaseResult;
  };
}
