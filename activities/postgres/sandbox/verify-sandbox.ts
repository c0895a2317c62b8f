/**
 * Collects the evidence that a sandbox is what the plan promised. Only reads. What could not be told is a row that is not good.
 * On a retry everything is read again.
 */
import { ApplicationFailure } from '@temporalio/common';
import { writeFile } from 'node:fs/promises';
import type pg from 'pg';

import type {
  EvidenceCheck,
  SandboxStepInput,
  TableCount,
  VerifySandboxResult,
} from '../../../shared/contracts/sandbox.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { heartbeat } from '../../lib/heartbeat.js';
import { bringUp } from './bring-up.js';
import { amcheckCheck } from './check-amcheck.js';
import { isolationCheck } from './check-isolation.js';
import { rowCountCheck } from './check-row-counts.js';
import { boundaryChecks, heartbeatCheck, stopChecks } from './check-target.js';
import { userCheck } from './check-user.js';
import { checkOf } from './evidence.js';
import type { Reached } from './judge-replay.js';
import { refuseUnlessThrowaway, requireMarker, type SandboxMarker } from './marker.js';
import { placeOf, type SandboxPlace } from './place.js';
import { connectSandbox, sandboxAddress } from './session.js';

/** Histories carry the most telling rows; all of them lie in the sandbox directory. */
const MOST_COUNTS = 50;
/** A paused server answers at once; one that had to be started again gets this long. */
const BRING_UP_MS = 120_000;
const BEAT_MS = 1_000;

type Deps = Pick<ActivityDeps, 'config' | 'jobs' | 'runtime' | 'resolveSecret'>;
type Verification = { deps: Deps; place: SandboxPlace; marker: SandboxMarker; input: SandboxStepInput; admin: string };

/** Throws only when there is no sandbox of ours, or its server cannot be brought up; every other finding is a row. */
export function createVerifySandbox(deps: Deps) {
  return async function verifySandbox(input: SandboxStepInput): Promise<VerifySandboxResult> {
    const startedMs = Date.now();
    const place = placeOf(deps.config, input.ref);
    refuseUnlessThrowaway(place, await requireMarker(place));
    const reached = await readReached(deps, place, input);
    const marker = await requireMarker(place);
    const admin = await superuserOf(place, marker);
    const beating = setInterval(beatQuietly, BEAT_MS);
    try {
      const { checks, counts } = await collect({ deps, place, marker, input, admin }, reached);
      await writeFile(place.countsFile, `${JSON.stringify(counts)}\n`, { mode: 0o600 });
      return {
        ok: checks.every((check) => check.ok),
        checks,
        counts: counts.slice(0, MOST_COUNTS),
        seconds: (Date.now() - startedMs) / 1_000,
      };
    } finally {
      clearInterval(beating);
    }
  };
}

/** A cancellation is noticed at the next step that waits; here it must not be thrown into a timer. */
function beatQuietly(): void {
  try {
    heartbeat();
  } catch {
    // The activity is cancelled.
  }
}

/** Null for a sandbox that is tainted or stands elsewhere: the rows say so. */
async function readReached(deps: Deps, place: SandboxPlace, input: SandboxStepInput): Promise<Reached | null> {
  try {
    return (await bringUp(deps, place, input.plan, BRING_UP_MS)).reached;
  } catch (error) {
    const isFinding =
      error instanceof ApplicationFailure && (error.type === 'SandboxTainted' || error.type === 'RecoveryStopped');
    if (isFinding && (await answers(place))) return null;
    throw error;
  }
}

async function answers(place: SandboxPlace): Promise<boolean> {
  const marker = await requireMarker(place);
  return connectSandbox(place, marker, {}, () => Promise.resolve(true)).catch(() => false);
}

/** Every table must be readable for the evidence; the socket lets in any role of the cluster. */
async function superuserOf(place: SandboxPlace, marker: SandboxMarker): Promise<string> {
  return connectSandbox(place, marker, {}, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      'select rolname as name from pg_roles where rolsuper and rolcanlogin order by oid limit 1',
    );
    return rows[0]?.name ?? place.environment.postgres.user;
  });
}

async function collect(
  verification: Verification,
  reached: Reached | null,
): Promise<{ checks: EvidenceCheck[]; counts: TableCount[] }> {
  const { deps, place, marker, input, admin } = verification;
  const checks: EvidenceCheck[] = [...stopChecks(input.plan, reached), ...(await serverChecks(verification))];
  checks.push(baseCheck(marker));
  const amcheck = await amcheckCheck(deps.jobs, place, marker, admin);
  if (amcheck !== null) checks.push(amcheck);
  const counted = place.environment.verify.rowCounts ? await countAll(verification) : null;
  if (counted !== null) checks.push(counted.check);
  for (const check of place.environment.checks) {
    checks.push(
      await checkOf(`check: ${check.name}`, String(check.expect), () =>
        inDatabase(verification, check.database, place.environment.postgres.user, (client) => userCheck(client, check)),
      ),
    );
  }
  return { checks, counts: counted?.counts ?? [] };
}

async function serverChecks({ place, marker, input, admin }: Verification): Promise<EvidenceCheck[]> {
  const { database } = place.environment.postgres;
  const cluster = await connectSandbox(place, marker, { user: admin }, async (client) => [
    ...(await boundaryChecks(client, input.plan)),
    await isolationCheck(client, marker.sandbox, place.dataDir),
  ]);
  const heartbeats = await connectSandbox(place, marker, { user: admin, database }, (client) =>
    heartbeatCheck(client, input.plan, place.environment.heartbeat),
  ).catch((error: unknown) =>
    checkOf('heartbeat', 'a heartbeat at or before T', () =>
      Promise.reject(error instanceof Error ? error : new Error(String(error))),
    ),
  );
  return heartbeats === null ? cluster : [...cluster, heartbeats];
}

function baseCheck(marker: SandboxMarker): EvidenceCheck {
  return {
    check: 'base-checksums',
    expected: 'the restored base was verified',
    actual: marker.combined?.verifiedBy ?? 'unknown: the marker does not say how',
    ok: marker.combined !== null,
  };
}

async function countAll({ deps, place, marker, input, admin }: Verification): ReturnType<typeof rowCountCheck> {
  return rowCountCheck({
    deps,
    environment: input.ref.environment,
    sandbox: sandboxAddress(place, marker, { user: admin, database: place.environment.postgres.database }),
    statementTimeoutMs: place.environment.verify.statementTimeout * 1_000,
  });
}

async function inDatabase<T>(
  { place, marker }: Verification,
  database: string | undefined,
  user: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const statementTimeoutMs = place.environment.verify.statementTimeout * 1_000;
  const name = database ?? place.environment.postgres.database;
  return connectSandbox(place, marker, { user, database: name, statementTimeoutMs }, work);
}
