/**
 * A base that the controller takes: asked for and waited for. The controller answers 202 to any request, also to one that it will not carry out, so only
 * its list says what comes of it. On a retry the base that was asked for is found by the time in its id.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import type { TakeBaseResult } from '../../../shared/contracts/activities.js';
import type { TakeBaseOptions } from '../../lib/backup-store.js';
import { stepFailure } from '../../lib/failure.js';
import type { JobReporter } from '../base-job.js';
import { listBackups, readBackupConfig, triggerBackup } from './api.js';
import { chooseDatabase, type Choice } from './choose-database.js';
import { estimatedRawBytes } from './lists-view.js';
import { lsnOf, type BackupRow } from './schemas.js';
import type { Session } from './session.js';

export type TakeBaseDeps = {
  session: Session;
  choice: Choice;
  reporter: JobReporter;
  times?: { lookMs: number; beginMs: number };
};

/**
 * A backup begins within a tick of the controller (15 s, measured), and after a restart or a change of its source when it has connected again: about
 * two minutes. One that has begun is waited for however long it takes.
 */
const TIMES = { lookMs: 2_000, beginMs: 300_000 };
const MIB = 1024 * 1024;

/** Throws PreconditionFailed when backups are off or none begins, CommandFailed with the controller's words when it fails. */
export async function takeBaseOfController(options: TakeBaseOptions, deps: TakeBaseDeps): Promise<TakeBaseResult> {
  const { session, choice, reporter } = deps;
  const { lookMs, beginMs } = deps.times ?? TIMES;
  const started = Date.now();
  const database = await chooseDatabase(session, choice);
  await requireEnabled(session, database.id, database.name);
  const type = options.kind === 'full' ? 'FULL' : 'INCREMENTAL';
  const since = askedAt(options.id);
  const before = new Set((await listBackups(session, database.id)).map(({ id }) => id));
  // New is what was not there before, too: the clock of the server, which named the base, may be ahead of the controller's.
  const isNew = (row: BackupRow): boolean => !before.has(row.id) || Date.parse(row.createdAt) >= since;
  const look = async (): Promise<BackupRow[]> =>
    (await listBackups(session, database.id)).filter(
      (row) => row.type === type && row.status !== 'CANCELED' && isNew(row),
    );
  if ((await look()).every(isFailed)) await triggerBackup(session, database.id, options.kind);
  const asked = Date.now();
  for (;;) {
    const rows = await look();
    const done = rows.find(({ status }) => status === 'COMPLETED');
    if (done !== undefined) return resultOf(done, options.kind, (Date.now() - started) / 1000);
    const failed = rows.find((row) => isFailed(row) && !before.has(row.id));
    if (failed !== undefined) throw failedAtController(failed);
    const running = rows.find(({ status }) => status === 'IN_PROGRESS');
    reporter.progress({
      done: 0,
      total: null,
      unit: 'bytes',
      note: running === undefined ? 'asked for' : 'the controller takes it',
    });
    if (running === undefined && Date.now() - asked > beginMs) throw neverBegan(session.where, database.name, beginMs);
    await sleep(lookMs);
  }
}

async function requireEnabled(session: Session, databaseId: string, name: string): Promise<void> {
  const { isBackupsEnabled } = await readBackupConfig(session, databaseId);
  if (isBackupsEnabled) return;
  throw stepFailure('PreconditionFailed', `backups of "${name}" are off in the controller, so it takes none`, {
    hint: 'switch them on in the controller, then `pgr retry`',
  });
}

/** `20261121-062800F` as milliseconds. Clocks of controller and server may differ by a little. */
function askedAt(id: string): number {
  const iso = id.replace(/^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d).*$/, '$1-$2-$3T$4:$5:$6Z');
  const time = Date.parse(iso);
  if (!Number.isNaN(time)) return time;
  throw stepFailure('Bug', `base id ${id} does not begin with a time`);
}

function isFailed({ status }: BackupRow): boolean {
  return status === 'ERROR' || status === 'CHAIN_BROKEN';
}

function resultOf(row: BackupRow, kind: TakeBaseOptions['kind'], seconds: number): TakeBaseResult {
  const bytes = Math.round(row.sizeMb * MIB);
  return {
    id: row.id,
    kind,
    timeline: row.timelineId,
    startLsn: lsnOf(row.startLsn, row),
    stopLsn: lsnOf(row.stopLsn, row),
    bytes,
    rawBytes: estimatedRawBytes(bytes),
    seconds,
  };
}

function failedAtController({ id, type, status, failMessage }: BackupRow): Error {
  const why = (failMessage ?? 'no reason given').trim().slice(-400);
  return stepFailure('CommandFailed', `${type} ${id} of the controller ended as ${status}: ${why}`, {
    hint: 'mend what it names (connection, role, max_wal_senders, slots of the source), then `pgr retry`',
  });
}

function neverBegan(where: string, name: string, beginMs: number): Error {
  return stepFailure(
    'PreconditionFailed',
    `the controller at ${where} was asked for a backup of "${name}" and began none in ${String(beginMs / 1000)} s`,
    { hint: 'look at its log; test the connection to the source in the controller, then `pgr retry`' },
  );
}
