/**
 * Brings bases and WAL of a plan out of a controller's bucket to this machine. On a retry it goes on: whole bases and segments are not asked for again.
 * Memory is bounded by the requests that are under way.
 */
import type { RestoreBaseResult } from '../../../shared/contracts/sandbox.js';
import type { FetchSpec } from '../../lib/backup-store.js';
import { stepFailure } from '../../lib/failure.js';
import type { JobReporter } from '../base-job.js';
import { createProgress, type MoverProgress } from '../mover-progress.js';
import { createArchiveView } from './archive-objects.js';
import type { Catalog, CatalogBase, Pin } from './catalog.js';
import { fetchBase, fetchedFiles, type BasePlace } from './fetch-base.js';
import { fetchWal, planSpool, type WalItem } from './fetch-wal.js';
import type { Bucket } from './open.js';

export type FetchDeps = { bucket: Bucket; pin: Pin; reporter: JobReporter };

/** Deriving the key of a segment takes longer than fetching it. */
const SEGMENTS_AT_ONCE = 4;

type OpenBase = { base: CatalogBase; place: BasePlace; files: number | null };

/** Carries out a fetch. Throws typed failures; see the parts for which. */
export async function fetchFromBucket(
  spec: FetchSpec,
  { bucket, pin, reporter }: FetchDeps,
): Promise<RestoreBaseResult> {
  const started = Date.now();
  const progress = createProgress(reporter);
  const counted: Bucket = {
    ...bucket,
    hear: (bytes) => {
      progress.fetched(bytes);
    },
  };
  const view = createArchiveView(counted, pin);
  const bases = await openBases(spec, await view.catalog(), progress);
  const wal = await planSpool(view, spec);
  for (const { file, isHere } of wal) progress.expect(file.bytes, isHere ? file.bytes : 0);
  const numbers = (): RestoreBaseResult => ({
    baseBytes: sum(bases.map(({ base }) => base.tar.bytes)),
    walBytes: sum(wal.map(({ file }) => file.bytes)),
    fetchedBytes: progress.fetchedBytes(),
    seconds: (Date.now() - started) / 1000,
    files: sum(bases.map(({ files }) => files ?? 0)),
    chunksVerified: 0,
  });
  progress.start();
  for (const open of bases) {
    if (open.files !== null) continue;
    open.files = await fetchBase(counted, open.base, open.place);
    progress.finished(open.base.tar.bytes);
  }
  reporter.mark('base-done', numbers());
  const origin = originOf(bases[0]);
  await inLanes(
    wal.filter(({ isHere }) => !isHere),
    async (item) => {
      await fetchWal(view, spec, item, origin);
      progress.finished(item.file.bytes);
    },
  );
  progress.end();
  return numbers();
}

async function openBases(spec: FetchSpec, catalog: Catalog, progress: MoverProgress): Promise<OpenBase[]> {
  return Promise.all(
    spec.baseIds.map(async (id, at) => {
      const base = catalog.bases.find(({ metadata }) => metadata.backupId === id);
      if (base === undefined) throw stepFailure('NotFound', `the bucket does not have base ${id} (any more)`);
      const place = { dir: spec.baseDirs[at] ?? '', owner: spec.owner };
      const files = await fetchedFiles(base, place);
      progress.expect(base.tar.bytes, files === null ? 0 : base.tar.bytes);
      return { base, place, files };
    }),
  );
}

function originOf(open: OpenBase | undefined): { systemIdentifier: string | null; postgresMajor: number | null } {
  if (open === undefined) return { systemIdentifier: null, postgresMajor: null };
  const { systemIdentifier, pgVersion } = open.base.metadata;
  return { systemIdentifier, postgresMajor: Math.floor(pgVersion / 10_000) };
}

/** A failure stops the other lanes from starting more; those under way end, so that nothing writes after it is reported. */
async function inLanes(items: readonly WalItem[], work: (item: WalItem) => Promise<void>): Promise<void> {
  const queue = items.values();
  const failures: unknown[] = [];
  const lane = async (): Promise<void> => {
    for (let next = queue.next(); next.done !== true && failures.length === 0; next = queue.next()) {
      await work(next.value).catch((error: unknown) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: SEGMENTS_AT_ONCE }, lane));
  if (failures.length > 0) throw failures[0];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
