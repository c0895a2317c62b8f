/** One look at the store: its bases, the line of timelines of production, and the WAL along it. Listings and headers only, no WAL is read. */
import { compareTimestamps } from '../../shared/target-time.js';
import {
  DEFAULT_WAL_SEGMENT_BYTES,
  historyName,
  isHistoryName,
  isSegmentName,
  parseHistory,
  parseSegmentName,
  segmentNumberOf,
  type TimelineSwitch,
} from '../../shared/timeline.js';
import type { ResolveTargetInput } from '../lib/backup-store.js';
import { stepFailure } from '../lib/failure.js';
import { endedAt, judgeBases, type JudgedBase } from './base-chain.js';
import { listBases, type BaseHeader } from './base-catalog.js';
import { archiveStretches, type Stretches } from './holes.js';
import type { ObjectStore } from './s3-objects.js';
import { timelineSpans, type TimelineSpan } from './timeline-chain.js';
import { chooseTimeline, type TimelineFacts } from './timeline-choice.js';
import { listWalFiles, readWalFile, walCorrupt, type WalFile } from './wal-archive.js';
import { majorOfPrograms } from './waldump.js';
import { createWalReader, type WalReader } from './waldump-segments.js';

/** Where the archive lies; keys are relative to the configured prefix. */
export type StoreContext = { objects: ObjectStore; walPrefix: string };

export type ArchiveInput = Pick<ResolveTargetInput, 'scratchDir' | 'binDir' | 'live'>;

export type Archive = Stretches & {
  /** Null when nothing tells: no live primary and no base. */
  systemIdentifier: string | null;
  postgresMajor: number | null;
  /** Null when there is neither a live primary nor any WAL or base. */
  timeline: number | null;
  spans: TimelineSpan[];
  /** Judged, oldest first. */
  bases: JudgedBase[];
  walSegmentBytes: number;
  /** Names of all archived WAL files, of every timeline. */
  names: ReadonlySet<string>;
  reader: WalReader;
  warnings: string[];
};

const ABANDONED_PREFIX = 'abandoned/';

/**
 * Reads the listings. Throws StoreUnavailable and its like when the store does not answer, MajorMismatch when the programs of `binDir` cannot read this
 * WAL, WalCorrupt for a damaged history file; a missing one is a warning.
 */
export async function readArchive(context: StoreContext, input: ArchiveInput): Promise<Archive> {
  const { objects, walPrefix } = context;
  const [files, headers, abandoned, programs] = await Promise.all([
    listWalFiles(objects, walPrefix),
    listBases(objects),
    listAbandoned(objects),
    majorOfPrograms(input.binDir),
  ]);
  const identity = identityOf(headers, input.live?.systemIdentifier ?? null);
  if (identity.newest !== null && identity.newest.postgresMajor !== programs) {
    throw majorMismatch(identity.newest, programs, input.binDir);
  }
  const line = await productionLine(objects, files, {
    live: input.live?.timeline ?? null,
    archived: archivedTimelines(files),
    abandoned,
    newestBase: identity.newest?.timeline ?? null,
  });
  const { systemIdentifier, postgresMajor, walSegmentBytes } = identity;
  const first = firstWanted(headers, systemIdentifier, files, walSegmentBytes);
  const stretches = archiveStretches(line.spans, files, first, walSegmentBytes);
  return {
    ...stretches,
    ...line,
    systemIdentifier,
    postgresMajor,
    walSegmentBytes,
    names: new Set(files.map(({ name }) => name)),
    bases: judgeBases(headers, {
      systemIdentifier: systemIdentifier ?? '',
      spans: line.spans,
      runs: stretches.runs,
      walSegmentBytes,
    }),
    reader: createWalReader({ ...input, objects, walSegmentBytes, systemIdentifier, postgresMajor }),
  };
}

type Identity = Pick<Archive, 'systemIdentifier' | 'postgresMajor' | 'walSegmentBytes'> & { newest: BaseHeader | null };

/** Whose archive this is: the live primary's, else the newest base's. */
function identityOf(headers: readonly BaseHeader[], live: string | null): Identity {
  const newest = newestBase(headers, live);
  if (newest === null) {
    return { newest, systemIdentifier: live, postgresMajor: null, walSegmentBytes: DEFAULT_WAL_SEGMENT_BYTES };
  }
  const { systemIdentifier, postgresMajor, walSegmentBytes } = newest;
  return { newest, systemIdentifier, postgresMajor, walSegmentBytes };
}

type Line = Pick<Archive, 'timeline' | 'spans' | 'warnings'>;

/** Production's timeline and its ancestors. */
async function productionLine(objects: ObjectStore, files: readonly WalFile[], facts: TimelineFacts): Promise<Line> {
  const choice = chooseTimeline(facts);
  if (choice === null) return { timeline: null, spans: [], warnings: [] };
  const { timeline } = choice;
  const history = await readHistory(objects, files, timeline);
  return {
    timeline,
    spans: timelineSpans(timeline, history.switches),
    warnings: [...choice.warnings, ...history.warnings],
  };
}

function newestBase(headers: readonly BaseHeader[], systemIdentifier: string | null): BaseHeader | null {
  const own = headers.filter((base) => systemIdentifier === null || base.systemIdentifier === systemIdentifier);
  return own.reduce<BaseHeader | null>(
    (best, base) => (best === null || compareTimestamps(endedAt(base), endedAt(best)) >= 0 ? base : best),
    null,
  );
}

function majorMismatch(base: BaseHeader, programs: number, binDir: string): Error {
  return stepFailure(
    'MajorMismatch',
    `base ${base.id} is of PostgreSQL ${base.postgresMajor}, the programs in ${binDir} are of PostgreSQL ${programs}`,
  );
}

function archivedTimelines(files: readonly WalFile[]): number[] {
  const named = files.filter(({ name }) => isSegmentName(name) || isHistoryName(name));
  return [...new Set(named.map(({ name }) => Number.parseInt(name.slice(0, 8), 16)))];
}

async function listAbandoned(objects: ObjectStore): Promise<number[]> {
  const keys = (await objects.list(ABANDONED_PREFIX)).map(({ key }) => key.slice(ABANDONED_PREFIX.length));
  return keys.filter((key) => /^[0-9A-F]{8}\.json$/.test(key)).map((key) => Number.parseInt(key.slice(0, 8), 16));
}

type History = { switches: TimelineSwitch[]; warnings: string[] };
const NO_HISTORY: History = { switches: [], warnings: [] };

/** History of a timeline. Timeline 1 has none; for any other a missing file means that nothing before it can be reached. */
export async function readHistory(objects: ObjectStore, files: readonly WalFile[], timeline: number): Promise<History> {
  if (timeline === 1) return NO_HISTORY;
  const name = historyName(timeline);
  const file = files.find((candidate) => candidate.name === name);
  if (file === undefined) {
    return {
      switches: [],
      warnings: [`${name} is missing in the archive: nothing before timeline ${timeline} can be reached`],
    };
  }
  const switches = parseHistory((await readWalFile(objects, file)).toString('utf8'));
  if (switches === null || switches.length === 0) throw walCorrupt(file, 'is not a history of timelines');
  return { switches, warnings: [] };
}

/** Oldest segment that a base of this system needs; without bases the oldest one that there is. */
function firstWanted(
  headers: readonly BaseHeader[],
  systemIdentifier: string | null,
  files: readonly WalFile[],
  walSegmentBytes: number,
): bigint {
  const wanted = headers
    .filter((base) => base.systemIdentifier === systemIdentifier)
    .map((base) => segmentNumberOf(base.startLsn, walSegmentBytes));
  const there = files.flatMap(({ name }) => parseSegmentName(name, walSegmentBytes)?.number ?? []);
  const numbers = wanted.length > 0 ? wanted : there;
  return numbers.reduce((least, number) => (number < least ? number : least), numbers[0] ?? 0n);
}
