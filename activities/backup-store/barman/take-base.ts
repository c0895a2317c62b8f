/**
 * A backup of the running server by Barman. On a retry: the backup of this name that ended well is the result, one that still runs is waited for, one that died
 * is taken anew.
 */
import type { TakeBaseResult } from '../../../shared/contracts/activities.js';
import type { TakeBaseOptions } from '../../lib/backup-store.js';
import { describeFailure } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';
import { pollUntil } from '../../lib/poll.js';
import { readServer } from '../take-base-facts.js';
import { parseBackup, parseList, parseProcesses } from './answers.js';
import { headerOf } from './catalog.js';
import { backupArgs, listBackupsArgs, listProcessesArgs, showBackupArgs, showServerArgs } from './commands.js';
import { resumeStreaming } from './streaming.js';
import type { BarmanPlaces } from './places.js';

/** For the WAL of the backup, after its files: a busy archiver compresses some segments a second. */
const WAL_WAIT_SECONDS = 300;
const BACKUP_TIMEOUT_MS = 7 * 24 * 3_600_000;

/** Takes the base `options.id`. Throws IdentityMismatch, ArchiveFailing, DatabaseUnavailable or CommandFailed with what Barman said. */
export async function takeBarmanBackup(places: BarmanPlaces, options: TakeBaseOptions): Promise<TakeBaseResult> {
  const started = Date.now();
  const { barman } = places;
  const { server } = barman.config;
  const name = backupNameOf(options.id);
  await requireSameSystem(places, options);
  await waitForRunning(places);
  const known = await findEnded(places, name);
  if (known !== null) return resultOf(places, known, options, 0);
  await resumeStreaming(places);
  const isIncremental = options.kind === 'incremental';
  const args = backupArgs(server, { name, waitSeconds: WAL_WAIT_SECONDS, isIncremental });
  const result = await barman.run(args, BACKUP_TIMEOUT_MS);
  const taken = await findEnded(places, name);
  if (taken === null) {
    throw stepFailure('CommandFailed', `barman took no backup: ${describeFailure(result)}`, {
      hint: `nothing was lost; run \`barman check ${server}\` and mend what it names, then \`pgr retry\``,
    });
  }
  return resultOf(places, taken, options, (Date.now() - started) / 1000);
}

/** Name of the backup that carries a base id of ours. */
function backupNameOf(id: string): string {
  return `pgr-${id}`;
}

/** Barman's configuration may mean another server than the node: then its backups are not those of this environment. */
async function requireSameSystem({ barman }: BarmanPlaces, { connection }: TakeBaseOptions): Promise<void> {
  const { server } = barman.config;
  const node = await readServer(connection);
  const answer = await barman.ask(showServerArgs(server));
  const { postgres_systemid: seen } = (answer[server] ?? {}) as { postgres_systemid?: unknown };
  if (typeof seen !== 'string') {
    throw stepFailure('StoreUnavailable', `barman cannot connect to the server "${server}"`, {
      hint: `see conninfo in the configuration of barman: \`barman check ${server}\``,
    });
  }
  if (seen === node.systemIdentifier) return;
  throw stepFailure(
    'IdentityMismatch',
    `barman's server "${server}" is system ${seen}, the node is ${node.systemIdentifier}`,
    {
      hint: 'nothing was touched; correct backups.server, or conninfo in the configuration of barman',
    },
  );
}

/** Barman takes one backup at a time: one that an attempt of ours left running, or one of its own schedule, ends first. */
async function waitForRunning({ barman }: BarmanPlaces): Promise<void> {
  const { server } = barman.config;
  await pollUntil(
    async () => {
      const processes = parseProcesses(await barman.ask(listProcessesArgs(server)), server);
      return processes.some(({ name }) => name === 'backup') ? null : true;
    },
    { timeoutMs: BACKUP_TIMEOUT_MS, everyMs: 1_000 },
  );
}

/** Id of the backup of that name whose WAL is there too. */
async function findEnded({ barman }: BarmanPlaces, name: string): Promise<string | null> {
  const { server } = barman.config;
  const list = parseList(await barman.ask(listBackupsArgs(server)), server);
  return list.find((one) => one.backup_name === name && one.status === 'DONE')?.backup_id ?? null;
}

async function resultOf(
  { barman }: BarmanPlaces,
  id: string,
  { kind }: TakeBaseOptions,
  seconds: number,
): Promise<TakeBaseResult> {
  const { server } = barman.config;
  const shown = parseBackup(await barman.ask(showBackupArgs(server, id)), server, id);
  const { timeline, startLsn, stopLsn, sizes } = headerOf(shown);
  const bytes = shown.base_backup_information.backup_size_bytes ?? sizes.bytes;
  return { id, kind, timeline, startLsn, stopLsn, bytes, rawBytes: sizes.restoredBytes, seconds };
}
