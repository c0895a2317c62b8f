/** The backups of Barman, in the form in which everything else reads the bases of a store. */
import { isFailureOf, stepFailure } from '../../lib/failure.js';
import type { BaseHeader } from '../base-catalog.js';
import { STOCK_SETTINGS } from '../stock-settings.js';
import { parseBackup, parseList, segmentBytesOf, type ListedBackup, type ShownBackup } from './answers.js';
import { listBackupsArgs, showBackupArgs } from './commands.js';
import type { Barman } from './run.js';

type BarmanCatalog = {
  headers: BaseHeader[];
  /** What is there and cannot be used, one sentence each. */
  notes: string[];
};

export type CatalogReader = {
  read(): Promise<BarmanCatalog>;
};

/** Each look at one backup starts a Python of its own. */
const LOOKS_AT_ONCE = 3;

/** The status of a backup whose copy is whole; whether its WAL is there is judged by the WAL. */
const WHOLE = new Set(['DONE', 'WAITING_FOR_WALS']);

const NO_CHECKSUM = '0'.repeat(64);

/** Reads the list anew each time; of a backup that ended nothing changes any more, so it is looked at once. */
export function createCatalogReader(barman: Barman): CatalogReader {
  const known = new Map<string, ShownBackup>();
  const { server } = barman.config;
  const look = async (listed: ListedBackup): Promise<ShownBackup | null> => {
    const key = `${listed.backup_id} ${listed.status} ${listed.end_time_timestamp ?? ''}`;
    const shown = known.get(key) ?? (await readShown(barman, listed.backup_id));
    if (shown !== null && known.size < 1_000) known.set(key, shown);
    return shown;
  };
  return {
    async read() {
      const list = parseList(await barman.ask(listBackupsArgs(server)), server);
      const whole = list.filter(({ status }) => WHOLE.has(status));
      const shown: ShownBackup[] = [];
      for (let start = 0; start < whole.length; start += LOOKS_AT_ONCE) {
        const some = await Promise.all(whole.slice(start, start + LOOKS_AT_ONCE).map(look));
        shown.push(...some.filter((one) => one !== null));
      }
      const notes = list.filter(({ status }) => !WHOLE.has(status)).map(noteOf);
      return { headers: shown.map(headerOf), notes };
    },
  };
}

/** One backup that a plan names. Throws NotFound when Barman does not have it any more, PreconditionFailed when it cannot be restored. */
export async function readBackup(barman: Barman, id: string): Promise<ShownBackup> {
  const shown = await readShown(barman, id);
  const { server } = barman.config;
  if (shown === null) throw stepFailure('NotFound', `barman does not have backup ${id} of ${server} (any more)`);
  if (!WHOLE.has(shown.status)) throw stepFailure('PreconditionFailed', noteOf(shown));
  const problem = problemOf(shown);
  if (problem !== null) throw stepFailure('PreconditionFailed', `backup ${id} cannot be restored: ${problem}`);
  return shown;
}

/** Null when it went away since it was listed: retention is at work. */
async function readShown(barman: Barman, id: string): Promise<ShownBackup | null> {
  const { server } = barman.config;
  try {
    return parseBackup(await barman.ask(showBackupArgs(server, id)), server, id);
  } catch (error) {
    if (!isFailureOf(error, 'StoreUnavailable')) throw error;
    const list = parseList(await barman.ask(listBackupsArgs(server)), server);
    if (list.some((one) => one.backup_id === id)) throw error;
    return null;
  }
}

function noteOf({ backup_id: id, status }: Pick<ListedBackup, 'backup_id' | 'status'>): string {
  return `backup ${id} is not used: its status is ${status}`;
}

/** A backup as a base. Barman puts an incremental one together while it restores it, so here every one is full. */
export function headerOf(shown: ShownBackup): BaseHeader {
  const facts = shown.base_backup_information;
  const stored = facts.backup_size_bytes ?? shown.cluster_size_bytes ?? 0;
  const restoredBytes = Math.max(shown.cluster_size_bytes ?? 0, stored);
  const unusable = problemOf(shown);
  return {
    api: 1,
    id: shown.backup_id,
    kind: 'full',
    systemIdentifier: shown.system_id ?? '0',
    postgresMajor: Math.floor(shown.postgresql_version / 10_000),
    postgresVersion: String(shown.postgresql_version),
    walSegmentBytes: segmentBytesOf(facts),
    timeline: facts.timeline,
    startLsn: facts.begin_lsn,
    stopLsn: facts.end_lsn,
    startedAt: facts.begin_time,
    endedAt: facts.end_time,
    parentId: null,
    compression: 'none',
    tar: 'data',
    // What travels are the files as they will be, whatever Barman has on its disk.
    sizes: { bytes: restoredBytes, rawBytes: restoredBytes, restoredBytes, files: 0, chunks: 0 },
    sha256s: { index: NO_CHECKSUM, manifest: NO_CHECKSUM },
    settings: STOCK_SETTINGS,
    ...(unusable === null ? {} : { unusable }),
  };
}

/** Why a backup whose copy is whole cannot be restored from here, null when it can. */
function problemOf(shown: ShownBackup): string | null {
  const { backup_method: method } = shown.base_backup_information;
  if (method?.startsWith('snapshot') === true) return 'its data is in snapshots of disks, not in the home of Barman';
  if (!shown.system_id) return 'Barman does not know of which system it is';
  if (shown.postgresql_version < 100_000) return `it is of PostgreSQL version ${String(shown.postgresql_version)}`;
  const tablespaces = shown.tablespaces ?? [];
  if (tablespaces.length > 0) {
    return `it has ${String(tablespaces.length)} tablespaces of its own, which would be restored over those of production; use barman restore --tablespace`;
  }
  return null;
}
