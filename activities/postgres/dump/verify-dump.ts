/** Collects the evidence that the dump was restored, whole. Only reads; on a retry everything is read again. */
import { writeFile } from 'node:fs/promises';

import type { DumpStepInput, VerifyDumpResult } from '../../../shared/contracts/dump.js';
import type { EvidenceCheck, TableCount } from '../../../shared/contracts/sandbox.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { amcheckCheck } from '../sandbox/check-amcheck.js';
import { rowCountCheck } from '../sandbox/check-row-counts.js';
import { userCheck } from '../sandbox/check-user.js';
import { checkOf } from '../sandbox/evidence.js';
import { changeMarker, refuseUnlessThrowaway, requireMarker, type SandboxMarker } from '../sandbox/marker.js';
import { placeOf, type SandboxPlace } from '../sandbox/place.js';
import { connectSandbox, sandboxAddress } from '../sandbox/session.js';
import { contentChecks, rowsOfDumpCheck } from './check-content.js';
import { errorsCheck, identityCheck, isolationCheck, untouchedCheck } from './check-restore.js';
import { startCluster } from './new-cluster.js';
import { readRestored } from './restore-dump.js';
import type { RestoredMark } from './restore-program.js';

/** Histories carry the most telling rows; all of them lie in the sandbox directory. */
const MOST_COUNTS = 50;

type Deps = Pick<ActivityDeps, 'config' | 'jobs' | 'runtime' | 'resolveSecret'>;
type Verification = {
  deps: Deps;
  place: SandboxPlace;
  marker: SandboxMarker;
  mark: RestoredMark;
  input: DumpStepInput;
};

/** Throws when there is no restored cluster of ours, or its server cannot be brought up; every other finding is a row. */
export function createVerifyDump(deps: Deps) {
  return async function verifyDump(input: DumpStepInput): Promise<VerifyDumpResult> {
    const startedMs = Date.now();
    const place = placeOf(deps.config, input.ref);
    refuseUnlessThrowaway(place, await requireMarker(place));
    const mark = await readRestored(place, input.plan);
    if (mark === null) {
      throw stepFailure('PreconditionFailed', `the restore into ${place.dir} has not come to its end`, {
        hint: 'start again: `pgr restore-dump`',
      });
    }
    const marker = await startCluster(deps, place, input.plan);
    const { checks, counts } = await collect({ deps, place, marker, mark, input });
    await writeFile(place.countsFile, `${JSON.stringify(counts)}\n`, { mode: 0o600 });
    return {
      ok: checks.every((check) => check.ok),
      checks,
      counts: counts.slice(0, MOST_COUNTS),
      seconds: (Date.now() - startedMs) / 1_000,
    };
  };
}

async function collect(verification: Verification): Promise<{ checks: EvidenceCheck[]; counts: TableCount[] }> {
  const { deps, place, marker, mark, input } = verification;
  const checks = [errorsCheck(mark.result), identityCheck(marker.systemIdentifier, input.plan)];
  checks.push(...(await clusterChecks(verification)));
  checks.push(...(await databaseChecks(verification)));
  const counted = await countAll(verification);
  checks.push(rowsOfDumpCheck(input.plan, counted.counts), counted.check);
  const amcheck = await amcheckCheck(deps.jobs, place, marker, place.environment.postgres.user);
  if (amcheck !== null) checks.push(amcheck);
  for (const check of place.environment.checks) {
    const database = check.database ?? place.environment.postgres.database;
    const session = { database, statementTimeoutMs: place.environment.verify.statementTimeout * 1_000 };
    checks.push(
      await checkOf(`check: ${check.name}`, String(check.expect), () =>
        connectSandbox(place, marker, session, (client) => userCheck(client, check)),
      ),
    );
  }
  return { checks, counts: counted.counts };
}

async function clusterChecks({ place, marker, mark }: Verification): Promise<EvidenceCheck[]> {
  const checks = await connectSandbox(place, marker, {}, async (client) => [
    await isolationCheck(client, marker.sandbox, place.dataDir),
    await untouchedCheck(client, mark),
  ]);
  const untouched = checks.find(({ check }) => check === 'untouched');
  if (untouched?.actual.includes('somebody wrote') === true) await changeMarker(place, { state: 'tainted' });
  return checks;
}

async function databaseChecks({ place, marker, input }: Verification): Promise<EvidenceCheck[]> {
  const { database, plan } = { database: place.environment.postgres.database, plan: input.plan };
  const session = { database, statementTimeoutMs: place.environment.verify.statementTimeout * 1_000 };
  return connectSandbox(place, marker, session, (client) => contentChecks(client, plan)).catch((error: unknown) =>
    Promise.all([
      checkOf('database', `database ${database} is there`, () =>
        Promise.reject(error instanceof Error ? error : new Error(String(error))),
      ),
    ]),
  );
}

async function countAll({ deps, place, marker, input }: Verification): ReturnType<typeof rowCountCheck> {
  const { database } = place.environment.postgres;
  return rowCountCheck({
    deps,
    environment: input.ref.environment,
    sandbox: sandboxAddress(place, marker, { database }),
    statementTimeoutMs: place.environment.verify.statementTimeout * 1_000,
    unlogged: 'kept',
  });
}
