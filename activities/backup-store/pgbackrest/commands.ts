/** Arguments of pgBackRest (2.45 or newer), without the program and the stanza. Pure. */

/** What pgBackRest says of its errors goes to stderr, one line each; stdout is the answer alone. */
const QUIET = ['--log-level-console=off', '--log-level-stderr=error', '--no-log-timestamp'];
/** One line per file, with the part of all bytes that is done. */
const TALKING = ['--log-level-console=detail', '--log-level-stderr=off', '--no-log-timestamp'];

const ofRepo = (repo: number | null): string[] => (repo === null ? [] : [`--repo=${String(repo)}`]);

/** Bases and archives, or with `label` what is known of one base. */
export function infoArgs(repo: number | null, label: string | null = null): string[] {
  return ['info', '--output=json', ...ofRepo(repo), ...(label === null ? [] : [`--set=${label}`]), ...QUIET];
}

/** Files of a folder of the repository; `filter` is a regular expression on their names. A folder that is not there is an empty answer. */
export function listArgs(repo: number, folder: string, options: { recurse?: boolean; filter?: string } = {}): string[] {
  return [
    'repo-ls',
    folder,
    '--output=json',
    ...(options.recurse === true ? ['--recurse'] : []),
    ...(options.filter === undefined ? [] : [`--filter=${options.filter}`]),
    ...ofRepo(repo),
    ...QUIET,
  ];
}

/** A file of the repository, decrypted but as it was compressed. */
export function readArgs(repo: number, file: string): string[] {
  return ['repo-get', file, ...ofRepo(repo), ...QUIET];
}

export type Restore = {
  repo: number;
  label: string;
  /** The directory of the run; never one that the configuration names. */
  dir: string;
  /** Locks of its own: neither does it wait for a restore of somebody else, nor somebody else for it. */
  lockDir: string;
  processMax: number;
  /** Goes on with what an earlier attempt left. */
  isSecondTry: boolean;
};

/** What a configuration file may say about restores, put back to its default: places outside of the directory, recovery settings, a part of the databases. */
const RESET = ['link-map', 'tablespace-map', 'tablespace-map-all', 'recovery-option', 'db-include', 'db-exclude'];

/** A restore of the files and nothing else, on this host, whatever a configuration file adds. */
export function restoreArgs({ repo, label, dir, lockDir, processMax, isSecondTry }: Restore): string[] {
  return [
    'restore',
    `--set=${label}`,
    ...ofRepo(repo),
    `--pg1-path=${dir}`,
    '--type=none',
    '--archive-mode=preserve',
    '--no-link-all',
    ...RESET.map((option) => `--reset-${option}`),
    // On a repository host the server is somewhere else; what is restored here is none of its.
    '--reset-pg1-host',
    isSecondTry ? '--delta' : '--no-delta',
    `--lock-path=${lockDir}`,
    `--process-max=${String(processMax)}`,
    ...TALKING,
  ];
}

/** A base, marked so that a later attempt finds it. */
export function backupArgs(repo: number | null, kind: 'full' | 'incremental', mark: string): string[] {
  const type = kind === 'full' ? 'full' : 'incr';
  return ['backup', `--type=${type}`, `--annotation=${BASE_MARK}=${mark}`, ...ofRepo(repo), ...TALKING];
}

/** Adds a note to a base, where `info` shows it. */
export function annotateArgs(repo: number, label: string, name: string, value: string): string[] {
  return ['annotate', `--set=${label}`, `--annotation=${name}=${value}`, ...ofRepo(repo), ...QUIET];
}

/**
 * Asks whether archiving is stopped on this host: pushing a file that is not there is refused for being stopped before it is refused for being
 * missing, and changes nothing in either case.
 */
export function stopProbeArgs(): string[] {
  return ['archive-push', '/nonexistent/pgr/000000010000000000000001', '--no-archive-async', ...QUIET];
}

/** Annotation of a base that we took. */
export const BASE_MARK = 'pgr-id';
/** Annotation of a timeline that is not production's history any more. */
export const ABANDONED_MARK = 'pgr-abandoned-';
