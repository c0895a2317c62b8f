/** What an exit code of pgBackRest means (src/build/error/error.yaml of its source: the code is the type of the error). Pure. */
import type { ApplicationFailure } from '@temporalio/common';

import type { FailureType } from '../../../shared/failures.js';
import { stepFailure } from '../../lib/failure.js';

export const EXIT = {
  checksum: 26,
  running: 38,
  notEmpty: 40,
  locked: 50,
  missing: 55,
  stopped: 62,
  noSet: 75,
} as const;

type Meaning = { type: FailureType; hint?: string };

const CONFIG: Meaning = {
  type: 'ConfigInvalid',
  hint: 'see that `backups` in the config and pgbackrest.conf fit together: run the same command by hand',
};
const UNAVAILABLE: Meaning = {
  type: 'StoreUnavailable',
  hint: 'see that the repository is reachable from this host: `pgbackrest info`; the run goes on by itself when it is',
};
const DAMAGED: Meaning = {
  type: 'BackupCorrupt',
  hint: 'nothing was promoted; `pgbackrest verify` shows what is damaged; recover from another base, then `pgr retry`',
};
const STOPPED: Meaning = {
  type: 'PreconditionFailed',
  hint: 'somebody stopped pgBackRest here: find out why, then `pgbackrest --stanza=… start` and `pgr retry`',
};

const FOREIGN: Meaning = { type: 'IdentityMismatch' };

const MEANINGS: Readonly<Record<number, Meaning>> = {
  [EXIT.checksum]: DAMAGED,
  27: CONFIG,
  31: CONFIG,
  32: CONFIG,
  37: CONFIG,
  [EXIT.running]: { type: 'SandboxNotOurs' },
  39: UNAVAILABLE,
  [EXIT.notEmpty]: { type: 'SandboxNotOurs' },
  41: UNAVAILABLE,
  42: UNAVAILABLE,
  44: FOREIGN,
  49: UNAVAILABLE,
  [EXIT.locked]: {
    type: 'PreconditionFailed',
    hint: 'another pgbackrest is at work; wait for its end, then `pgr retry`',
  },
  51: FOREIGN,
  [EXIT.missing]: {
    type: 'NotFound',
    hint: 'see `pgbackrest info` and `pgbackrest repo-ls` for what the repository has',
  },
  56: { type: 'DatabaseUnavailable' },
  58: FOREIGN,
  [EXIT.stopped]: STOPPED,
  64: { type: 'SpaceMissing', hint: 'free space (or mend the permissions that the message names), then `pgr retry`' },
  72: {
    type: 'PreconditionFailed',
    hint: 'it has to run on another host: set backups.backupCommand in the config to a command that starts it there',
  },
  [EXIT.noSet]: { type: 'NotFound', hint: 'the base is not in the repository (any more): run `pgr window`' },
  82: { type: 'ArchiveFailing' },
  95: { type: 'CredentialsRefused', hint: 'see that repo-cipher-pass in pgbackrest.conf is that of the repository' },
  101: UNAVAILABLE,
  103: UNAVAILABLE,
  105: { type: 'CredentialsRefused', hint: 'see that pgbackrest.conf has the right credentials: `pgbackrest info`' },
};

/** The failure for an exit code, with the words of pgBackRest. */
export function pgbackrestFailure(what: string, exitCode: number | null, said: string): ApplicationFailure {
  const meaning = exitCode === null ? undefined : MEANINGS[exitCode];
  const ended = exitCode === null ? 'was killed' : `ended with exit code ${String(exitCode)}`;
  const { type, hint } = meaning ?? { type: 'CommandFailed' as const };
  return stepFailure(
    type,
    `pgbackrest ${what} ${ended}${said === '' ? '' : `: ${said}`}`,
    hint === undefined ? {} : { hint },
  );
}

/** The damage of a base, with the words of pgBackRest. */
export function damagedBase(label: string, said: string): ApplicationFailure {
  return stepFailure(
    DAMAGED.type,
    `base ${label} is damaged: ${said}`,
    DAMAGED.hint === undefined ? {} : { hint: DAMAGED.hint },
  );
}

/** The errors and their hints in what pgBackRest printed, as one line. */
export function errorsIn(output: string): string {
  const lines = output.split('\n').map((line) => line.trim());
  const first = lines.findIndex((line) => /ERROR: \[\d+\]/.test(line));
  const relevant = first < 0 ? lines.filter((line) => line !== '').slice(-3) : lines.slice(first).filter(isOfError);
  return relevant
    .slice(0, 6)
    .map((line) => line.replace(/^P\d+\s+/, '').replace(/^ERROR: \[(\d+)\]: /, '[$1] '))
    .join(' | ');
}

function isOfError(line: string): boolean {
  return line !== '' && !/^P\d+\s+(INFO|DETAIL|WARN|DEBUG):/.test(line);
}
