/** Evidence of pg_amcheck: tables (and indexes) that make sense, not only pages whose checksums match. */
import path from 'node:path';

import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import { jobIdFor } from '../../../shared/ids.js';
import type { JobRunner, JobSpec } from '../../lib/job-runner.js';
import { ownerOf, runAsOwner } from '../data-directory.js';
import { amcheckArgs } from './commands.js';
import { checkOf, type CheckOutcome } from './evidence.js';
import type { SandboxMarker } from './marker.js';
import type { SandboxPlace } from './place.js';

const PARALLEL = 2;

/** Null when the config has it off. Runs as a job: a large cluster takes hours. */
export async function amcheckCheck(
  jobs: JobRunner,
  place: SandboxPlace,
  marker: SandboxMarker,
  user: string,
): Promise<EvidenceCheck | null> {
  const level = place.environment.verify.amcheck;
  if (level === 'off') return null;
  return checkOf('amcheck', `pg_amcheck (${level}) finds nothing`, async () => {
    const job: JobSpec = {
      id: jobIdFor(place.ref.runId, 'amcheck'),
      argv: [
        path.join(place.binDir, 'pg_amcheck'),
        ...amcheckArgs({ host: marker.socketDir, port: marker.port, user, level, jobs: PARALLEL }),
      ],
      ...runAsOwner(await ownerOf(place.dir)),
    };
    const result = await jobs.run(job);
    // Read once: a retry checks again.
    await jobs.forget(job.id);
    return amcheckOutcome(result.exitCode, result.logTail);
  });
}

/** Exit 0 means that everything was checked and is sound, 2 that something was found (PostgreSQL docs, "pg_amcheck"). */
export function amcheckOutcome(exitCode: number | null, lines: readonly string[]): CheckOutcome {
  const skipped = lines.flatMap(
    (line) => /skipping database "([^"]*)": amcheck is not installed/.exec(line)?.[1] ?? [],
  );
  const note =
    skipped.length === 0 ? {} : { note: `not checked, because amcheck is not installed there: ${skipped.join(', ')}` };
  if (lines.some((line) => /no relations to check|no connectable databases/.test(line))) {
    return {
      actual: 'unknown: nothing could be checked; run `create extension amcheck` in production',
      ok: false,
      ...note,
    };
  }
  if (exitCode === 0) return { actual: 'nothing found', ok: true, ...note };
  const last = lines.slice(-3).join(' | ');
  return {
    actual: exitCode === 2 ? `corruption found: ${last}` : `unknown: pg_amcheck failed: ${last}`,
    ok: false,
    ...note,
  };
}
