/** A base by pgBackRest. It bears our id as an annotation, so that a second attempt finds what the first one took. */
import type { TakeBaseResult } from '../../../shared/contracts/activities.js';
import { setTimeout as delay } from 'node:timers/promises';

import type { TakeBaseOptions } from '../../lib/backup-store.js';
import { stepFailure } from '../../lib/failure.js';
import type { JobReporter } from '../base-job.js';
import { readCatalog } from './catalog.js';
import { BASE_MARK, backupArgs } from './commands.js';
import { EXIT, pgbackrestFailure } from './failures.js';
import { partDone } from './progress.js';
import type { Pgbackrest } from './run.js';
import { readInfo, type Stanza } from './view.js';

export type TakePgbackrestBase = {
  source: Stanza;
  /** How `backup` is started; on a repository host it is another command than the one that asks. */
  program: Pgbackrest;
  reporter: JobReporter;
  /** How often a backup that holds the lock is looked at. */
  lookEveryMs?: number;
};

const LOOK_EVERY_MS = 2_000;

/** Waits for a backup that is running, ours or somebody else's, and takes one when there is none with our mark. Throws what pgBackRest says. */
export async function takePgbackrestBase(
  options: Pick<TakeBaseOptions, 'id' | 'kind'>,
  deps: TakePgbackrestBase,
): Promise<TakeBaseResult> {
  const started = Date.now();
  const { source, program, reporter, lookEveryMs = LOOK_EVERY_MS } = deps;
  // The size of the cluster is known afterwards only; that of the newest base is near enough for a bar.
  const total = (await readInfo(source)).backup.at(-1)?.info.size ?? null;
  const onLine = (line: string): void => {
    const part = partDone(line);
    if (part !== null && total !== null) {
      reporter.progress({ done: Math.floor(part * total), total, unit: 'bytes' });
    }
  };
  for (;;) {
    const taken = await findMarked(source, options);
    if (taken !== null) return { ...taken, seconds: (Date.now() - started) / 1000 };
    const end = await program.follow(backupArgs(source.repo, options.kind, options.id), onLine);
    if (end.exitCode === EXIT.locked) await delay(lookEveryMs);
    else if (end.exitCode !== 0) throw pgbackrestFailure(`backup of stanza ${source.stanza}`, end.exitCode, end.said);
    else return requireMarked(source, options, started);
  }
}

async function requireMarked(
  source: Stanza,
  options: Pick<TakeBaseOptions, 'id' | 'kind'>,
  started: number,
): Promise<TakeBaseResult> {
  const taken = await findMarked(source, options);
  if (taken !== null) return { ...taken, seconds: (Date.now() - started) / 1000 };
  throw stepFailure('EvidenceFailed', `pgbackrest took a base and info does not show it (${BASE_MARK}=${options.id})`, {
    hint: 'see `pgbackrest info`: backups.command and backups.backupCommand may be of different repositories',
  });
}

async function findMarked(
  source: Stanza,
  { id, kind }: Pick<TakeBaseOptions, 'id' | 'kind'>,
): Promise<Omit<TakeBaseResult, 'seconds'> | null> {
  const info = await readInfo(source);
  const backup = info.backup.find(({ annotation }) => annotation?.[BASE_MARK] === id);
  const header = readCatalog(info, null).bases.find((base) => base.header.id === backup?.label)?.header;
  if (header === undefined) return null;
  const { timeline, startLsn, stopLsn, sizes } = header;
  return { id: header.id, kind, timeline, startLsn, stopLsn, bytes: sizes.bytes, rawBytes: sizes.rawBytes };
}
