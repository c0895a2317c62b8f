/** What `pgr check` says about a controller. It only reads; what the user may do is asked with calls that change nothing. */
import { normaliseTimestamp, secondsBetween } from '../../../shared/target-time.js';
import { segmentName, segmentNumberOf, parseSegmentName } from '../../../shared/timeline.js';
import type { BackupStore } from '../../lib/backup-store.js';
import { readBackupConfig, readVersion } from './api.js';
import type { Catalog, ListedBase } from './catalog.js';
import type { Session } from './session.js';

type Line = Awaited<ReturnType<BackupStore['check']>>[number];

export type CheckInput = {
  session: Session;
  /** Reads the lists anew. */
  catalog: () => Promise<Catalog>;
  /** How old the newest base and the newest WAL may be, in seconds. */
  limits: { baseSeconds: number; walSeconds: number };
  now: () => Date;
};

const WAL_STREAM = 'FULL_INCREMENTAL_WAL_STREAM';
/** Roles that may list and download, and nothing else of a physical database. */
const READERS = new Set(['WORKSPACE_VIEWER']);

/** One line per question; a question that could not be asked is a line that is not ok. */
export async function checkController(input: CheckInput): Promise<Line[]> {
  const { session } = input;
  let catalog: Catalog;
  try {
    catalog = await input.catalog();
  } catch (error) {
    return [{ check: 'sign-in', expected: expectedSignIn(session), actual: textOf(error), ok: false }];
  }
  const { database, bases, wal } = catalog;
  const now = normaliseTimestamp(input.now().toISOString()) ?? '';
  const full = bases.findLast(({ kind }) => kind === 'full');
  const version = await readVersion(session).catch(textOf);
  return [
    {
      check: 'sign-in',
      expected: expectedSignIn(session),
      actual: `"${database.name}" in workspace "${database.workspace}", system ${database.systemIdentifier}; controller ${version}`,
      ok: true,
    },
    roleLine(catalog),
    await enabledLine(session, catalog),
    ageLine('full-fresh', 'full base', full?.endedAt ?? null, input.limits.baseSeconds, now),
    ...incrementalLine(catalog, now, input.limits.baseSeconds),
    ageLine(
      'wal-fresh',
      'wal segment',
      newestOf(wal.map(({ receivedAt }) => receivedAt)),
      input.limits.walSeconds,
      now,
    ),
    chainLine(catalog),
  ];
}

function expectedSignIn({ email, where }: Session): string {
  return `${email} signs in to ${where} and sees the database`;
}

/** A stolen password of a reader cannot delete backups; a promotion needs more, and says so when it comes to it. */
function roleLine({ database }: Catalog): Line {
  const { role } = database;
  const expected = 'the user can read and restore, and change nothing';
  if (role === null) return { check: 'user-role', expected, actual: 'the controller does not say the role', ok: false };
  const actual = READERS.has(role)
    ? role
    : `${role}: it can delete backups; restore as a WORKSPACE_VIEWER, and name the member whom a promotion needs in backups.operator`;
  return { check: 'user-role', expected, actual, ok: READERS.has(role) };
}

async function enabledLine(session: Session, { database }: Catalog): Promise<Line> {
  const expected = 'backups are on, with a wal stream';
  try {
    const { isBackupsEnabled } = await readBackupConfig(session, database.id);
    const off = isBackupsEnabled ? 'on' : 'off: the replication slot keeps wal on the source meanwhile';
    const ok = isBackupsEnabled && database.backupType === WAL_STREAM;
    const failed = database.lastError === null ? '' : `; last failure: ${database.lastError.slice(0, 200)}`;
    return { check: 'backups-on', expected, actual: `${off}, ${database.backupType}${failed}`, ok };
  } catch (error) {
    return { check: 'backups-on', expected, actual: textOf(error), ok: false };
  }
}

function incrementalLine({ database, bases }: Catalog, now: string, limitSeconds: number): Line[] {
  if (!database.backupType.includes('INCREMENTAL')) return [];
  const newest = bases.at(-1)?.endedAt ?? null;
  return [ageLine('base-fresh', 'base, full or incremental,', newest, limitSeconds, now)];
}

function ageLine(check: string, what: string, at: string | null, limitSeconds: number, now: string): Line {
  const expected = `the newest ${what} is at most ${String(limitSeconds)} s old`;
  if (at === null) return { check, expected, actual: 'there is none', ok: false };
  const age = Math.round(secondsBetween(at, now));
  return { check, expected, actual: `${at} (${String(age)} s old)`, ok: age <= limitSeconds };
}

/** The newest base, its parents, and its WAL without a gap to the newest segment; by the lists. */
function chainLine(catalog: Catalog): Line {
  const line = {
    check: 'chain',
    expected: 'the newest base, its parents and the wal after it are listed without a gap',
  };
  const newest = catalog.bases.at(-1);
  if (newest === undefined) return { ...line, actual: 'there is no base', ok: false };
  const problem = brokenAfter(catalog, newest) ?? parentProblem(catalog, newest) ?? walProblem(catalog, newest);
  return { ...line, actual: problem ?? `base ${newest.id} and its wal are whole`, ok: problem === null };
}

/** A chain that broke after its newest base: later times cannot be reached with it. */
function brokenAfter({ failed }: Catalog, newest: ListedBase): string | null {
  const broken = failed.find(
    ({ status, createdAt }) =>
      status === 'CHAIN_BROKEN' && (normaliseTimestamp(createdAt) ?? createdAt) > newest.endedAt,
  );
  if (broken === undefined) return null;
  return `${broken.type} ${broken.id} of ${broken.createdAt} is CHAIN_BROKEN: ${broken.failMessage ?? 'no reason given'}; take a full backup`;
}

function parentProblem({ bases }: Catalog, newest: ListedBase): string | null {
  const seen = new Set<string>();
  for (let base = newest; base.kind === 'incremental';) {
    const parent = bases.find(({ id }) => id === base.parentId);
    if (parent === undefined) return `base ${base.id} needs base ${base.parentId ?? 'unknown'}, which is missing`;
    if (seen.has(base.id)) return `the parents of base ${base.id} form a circle`;
    seen.add(base.id);
    base = parent;
  }
  return null;
}

function walProblem({ wal, database }: Catalog, base: ListedBase): string | null {
  const { walSegmentBytes } = database;
  const numbers = new Set(wal.flatMap(({ segment }) => parseSegmentName(segment, walSegmentBytes)?.number ?? []));
  const first = segmentNumberOf(base.stopLsn, walSegmentBytes);
  const last = [...numbers].reduce((most, number) => (number > most ? number : most), 0n);
  if (last < first) return `no wal was received since base ${base.id} ended`;
  for (let number = first; number <= last; number += 1n) {
    if (!numbers.has(number)) {
      return `wal segment ${segmentName(base.timeline, number, walSegmentBytes)} is missing`;
    }
  }
  return null;
}

function newestOf(times: readonly string[]): string | null {
  return [...times].sort().at(-1) ?? null;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
