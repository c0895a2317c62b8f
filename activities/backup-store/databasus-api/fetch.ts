/**
 * Brings bases and WAL of a plan out of the controller's restore stream to this machine, and finds the boundary in the WAL where the plan does not
 * have it yet. A stream is read as a whole or not at all: a process that died begins it again, and nothing of a broken one looks whole.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import type { RestoreBaseResult } from '../../../shared/contracts/sandbox.js';
import { fetchStateFileOf, type FetchedBoundary, type FetchSpec } from '../../lib/backup-store.js';
import { readBootId } from '../../lib/boot-id.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import type { JobReporter } from '../base-job.js';
import { requireEmpty } from '../base-state.js';
import { fetchWal, planSpool, type WalItem } from '../databasus/fetch-wal.js';
import type { Patience } from '../s3-retry.js';
import { chooseDatabase, type Choice } from './choose-database.js';
import { readWholeStream, targetTimeFor } from './download.js';
import { readStream, type ReadStream } from './read-stream.js';
import { resolveFetched } from './resolve-fetched.js';
import type { Session } from './session.js';
import { dropDuplicates, stagedObjects, stagingOf, type Staging } from './staging.js';

export type FetchDeps = { session: Session; choice: Choice; patience: Patience; reporter: JobReporter };

export type FetchResult = RestoreBaseResult & Partial<FetchedBoundary>;

type Fetch = FetchDeps & {
  spec: FetchSpec;
  plan: RecoveryPlan;
  binDir: string;
  staging: Staging;
  /** Bytes of all streams so far. */
  fetched: { bytes: number };
};

/** The stream is whole and proven, the spool is empty. */
const FAULT_STREAMED = 'databasus:streamed';

/** Carries out a fetch. Throws typed failures; see the parts for which. */
export async function fetchFromController(spec: FetchSpec, deps: FetchDeps): Promise<FetchResult> {
  try {
    return await carryOut(spec, deps);
  } catch (error) {
    throw spaceFailure(error, dirname(spec.wal.dir)) ?? error;
  }
}

/** A full disk as what it is: the lists do not say how large bases are unpacked, so the plan could only estimate it. Null for anything else. */
export function spaceFailure(error: unknown, dir: string): Error | null {
  if ((error as NodeJS.ErrnoException | null)?.code !== 'ENOSPC') return null;
  return stepFailure(
    'SpaceMissing',
    `the file system of ${dir} is full: bases and wal need more than the plan estimated`,
    {
      hint: 'free space there, then `pgr retry`; or `pgr abort`, and name another place with sandbox.dir or --host',
      cause: error,
    },
  );
}

async function carryOut(spec: FetchSpec, deps: FetchDeps): Promise<FetchResult> {
  const started = Date.now();
  const { plan, binDir } = spec;
  if (plan === undefined || binDir === undefined) throw stepFailure('Bug', 'the fetch was not told what it is for');
  const fetch: Fetch = {
    ...deps,
    spec,
    plan,
    binDir,
    staging: stagingOf(spec, await readBootId()),
    fetched: { bytes: 0 },
  };
  await requireOwnPlaces(spec);
  const read = (basesAreNoted(spec) ? fetch.staging.finished() : null) ?? (await stream(fetch));
  faultPoint(FAULT_STREAMED);
  await dropDuplicates(fetch.staging);
  const objects = stagedObjects(fetch.staging, plan, read.rawBytes);
  const resolved = plan.boundaryAfterFetch === true ? await resolve(fetch, objects) : null;
  const wanted = resolved ?? plan;
  const { firstSegment, lastSegment } = wanted.fetch;
  const wal = { ...spec.wal, firstSegment, lastSegment, timeline: wanted.timeline };
  const items = await planSpool({ objects }, { ...spec, wal });
  await fillSpool({ objects }, { ...spec, wal }, items, plan);
  const numbers: RestoreBaseResult = {
    baseBytes: plan.fetch.baseBytes,
    walBytes: items.reduce((sum, { file }) => sum + file.bytes, 0),
    fetchedBytes: fetch.fetched.bytes,
    seconds: (Date.now() - started) / 1000,
    files: read.files,
    chunksVerified: 0,
  };
  deps.reporter.mark('base-done', numbers);
  fetch.staging.remove();
  return resolved === null ? numbers : { ...numbers, resolved };
}

/** Directories with content that no fetch of ours noted are somebody else's. */
async function requireOwnPlaces({ baseDirs }: FetchSpec): Promise<void> {
  for (const dir of baseDirs) {
    if (!existsSync(fetchStateFileOf(dir))) await requireEmpty(dir);
  }
}

/** Reads the stream into empty places. */
async function stream({
  session,
  choice,
  patience,
  reporter,
  spec,
  plan,
  staging,
  fetched,
}: Fetch): Promise<ReadStream> {
  const database = await chooseDatabase(session, choice);
  if (database.systemIdentifier !== plan.systemIdentifier) {
    throw stepFailure(
      'IdentityMismatch',
      `database "${database.name}" of the controller is system ${database.systemIdentifier} now, planned was ${plan.systemIdentifier}`,
    );
  }
  const total = plan.fetch.baseBytes + plan.fetch.walBytes;
  const read = await readWholeStream(
    { session, databaseId: database.id, targetTime: targetTimeFor(plan), patience },
    async (content) => {
      begin(spec, staging);
      let done = 0;
      const counted = counting(content, (bytes) => {
        done += bytes;
        fetched.bytes += bytes;
        reporter.progress({ done, total: Math.max(done, total), unit: 'bytes' });
      });
      return readStream(counted, {
        plan,
        baseDirs: spec.baseIds.length === 0 ? null : spec.baseDirs,
        walDir: staging.walDir,
        owner: spec.owner,
      });
    },
  );
  noteBases(spec, true);
  staging.finish(read);
  return read;
}

/** What an earlier, broken stream left goes; the notes say whose the directories are. */
function begin(spec: FetchSpec, staging: Staging): void {
  noteBases(spec, false);
  for (const dir of spec.baseDirs) rmSync(dir, { recursive: true, force: true });
  staging.begin();
}

function noteOf({ baseIds }: FetchSpec, at: number, complete: boolean): string {
  return `${JSON.stringify({ api: 1, store: 'databasus', base: baseIds[at], complete })}\n`;
}

function noteBases(spec: FetchSpec, complete: boolean): void {
  for (const [at, dir] of spec.baseDirs.entries()) {
    const file = fetchStateFileOf(dir);
    writeFileSync(`${file}.tmp`, noteOf(spec, at, complete));
    renameSync(`${file}.tmp`, file);
  }
}

function basesAreNoted(spec: FetchSpec): boolean {
  return spec.baseDirs.every((dir, at) => {
    const file = fetchStateFileOf(dir);
    return existsSync(file) && readFileSync(file, 'utf8') === noteOf(spec, at, true);
  });
}

async function resolve(
  { plan, binDir, staging }: Fetch,
  objects: ReturnType<typeof stagedObjects>,
): Promise<FetchedBoundary['resolved']> {
  const scratchDir = join(staging.dir, 'scratch');
  mkdirSync(scratchDir, { recursive: true, mode: 0o700 });
  return resolveFetched({ objects, plan, scratchDir, binDir, now: new Date() });
}

async function fillSpool(
  view: { objects: ReturnType<typeof stagedObjects> },
  spec: FetchSpec,
  items: readonly WalItem[],
  { systemIdentifier, postgresMajor }: RecoveryPlan,
): Promise<void> {
  for (const item of items) {
    if (!item.isHere) await fetchWal(view, spec, item, { systemIdentifier, postgresMajor });
  }
}

async function* counting(source: AsyncIterable<Buffer>, hear: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const piece of source) {
    hear(piece.length);
    yield piece;
  }
}
