/**
 * What the server of a sandbox says in its log about its recovery. Messages are those of PostgreSQL 15 to 18
 * (src/backend/access/transam/xlogrecovery.c, xlogarchive.c, xlogreader.c) with lc_messages=C. Pure.
 */
import type { FailureType } from '../../../shared/failures.js';
import { parseLsn, type Lsn } from '../../../shared/lsn.js';
import { normaliseTimestamp, secondsBetween } from '../../../shared/target-time.js';

export type StopLine = { line: string; where: 'before' | 'after' | 'consistency'; lsn: Lsn | null };

export type LoggedFailure = { type: FailureType; message: string; hint: string | null };

/** Lines since the server was started last; all lines when it says nowhere that it starts. */
export function sinceLastStart(log: string): string[] {
  const lines = log.split('\n').filter((line) => line !== '');
  const start = lines.findLastIndex((line) => /LOG: {2}starting PostgreSQL /.test(line));
  return start === -1 ? lines : lines.slice(start);
}

/** The line in which the server says where it stopped, null while it has not. */
export function findStopLine(lines: readonly string[]): StopLine | null {
  for (const line of [...lines].reverse()) {
    if (/recovery stopping after reaching consistency/.test(line)) return { line, where: 'consistency', lsn: null };
    const match = /recovery stopping (before|after) WAL location \(LSN\) "([0-9A-F]+\/[0-9A-F]+)"/.exec(line);
    if (match?.[2] !== undefined) {
      return { line, where: match[1] === 'before' ? 'before' : 'after', lsn: parseLsn(match[2]) };
    }
  }
  return null;
}

/** The setting that is smaller than production's was: PostgreSQL pauses, or refuses to start, because of it. Null when none is. */
export function findTooSmallSetting(lines: readonly string[]): string | null {
  const at = lines.findIndex((line) =>
    /(hot standby is not possible|recovery aborted) because of insufficient parameter settings/.test(line),
  );
  if (at === -1) return null;
  const detail = lines.slice(at).find((line) => /DETAIL: /.test(line));
  return detail === undefined ? 'a setting is too small' : textOf(detail);
}

/** Records that do not make sense: in the middle of the wanted WAL they mean a damaged segment. */
const DAMAGE = [
  /incorrect resource manager data checksum in record at ([0-9A-F/]+)/,
  /invalid magic number [0-9A-F]+ in (?:WAL|log) segment ([0-9A-F]{24})/,
  /invalid info bits [0-9A-F]+ in (?:WAL|log) segment ([0-9A-F]{24})/,
  /unexpected pageaddr [0-9A-F/]+ in (?:WAL|log) segment ([0-9A-F]{24})/,
  /out-of-sequence timeline ID .* in (?:WAL|log) segment ([0-9A-F]{24})/,
  /WAL file is from different database system/,
  /archive file "([0-9A-F]{24})" has wrong size/,
  /invalid resource manager ID \d+ at ([0-9A-F/]+)/,
  /record with incorrect prev-link [0-9A-F/]+ at ([0-9A-F/]+)/,
  /invalid record length at ([0-9A-F/]+)/,
  /record with invalid length at ([0-9A-F/]+)/,
  /there is no contrecord flag at ([0-9A-F/]+)/,
  /invalid contrecord length .* at ([0-9A-F/]+)/,
  /contrecord is requested by ([0-9A-F/]+)/,
];

/** LSN or segment name that a line about damage names (`unknown` when it names none); null for any other line. */
export function damageIn(line: string): string | null {
  for (const pattern of DAMAGE) {
    const match = pattern.exec(line);
    if (match) return match[1] ?? 'unknown';
  }
  return null;
}

const KNOWN_ENDS: { pattern: RegExp; type: FailureType; message: string; hint: string | null }[] = [
  {
    pattern: /requested recovery stop point is before consistent recovery point/,
    type: 'RecoveryStopped',
    message: 'the target lies before the end of the base',
    hint: 'choose a later target, or one that an older base can reach: `pgr window`',
  },
  {
    pattern: /could not (create any TCP\/IP sockets|bind IPv4 address)/,
    type: 'PortTaken',
    message: 'another program took the port of the sandbox',
    hint: null,
  },
  {
    pattern: /could not locate (a valid|required) checkpoint record|could not find redo location/,
    type: 'RecoveryStopped',
    message: 'the server cannot find the checkpoint that the base starts from',
    hint: 'the first WAL segment of the base is missing or damaged: `pgr window`',
  },
  {
    pattern: /database files are incompatible with server|was initialized by PostgreSQL version/,
    type: 'MajorMismatch',
    message: 'the base is of another major version than the server programs',
    hint: null,
  },
  {
    pattern: /could not restore file "[0-9A-F]+[^"]*" from archive/,
    type: 'RecoveryStopped',
    message: 'a WAL segment that the plan needs was not there',
    hint: '`pgr retry` fetches what is missing and goes on',
  },
];

/** Why the server ended by itself, from the lines since its last start. `null` when they name no reason. */
export function findFailure(lines: readonly string[]): LoggedFailure | null {
  const ended = lines.some((line) => /recovery ended before configured recovery target was reached/.test(line));
  const damage = lines.map((line) => ({ line, at: damageIn(line) })).findLast((found) => found.at !== null);
  if (damage !== undefined && (ended || /(FATAL|PANIC): /.test(damage.line))) {
    return { type: 'WalCorrupt', message: `damaged WAL: ${textOf(damage.line)}`, hint: null };
  }
  if (ended) {
    return {
      type: 'RecoveryStopped',
      message: 'the WAL ended before the target was reached',
      hint: 'the archive has no more WAL than that: `pgr window` shows the latest possible target',
    };
  }
  const setting = findTooSmallSetting(lines);
  if (setting !== null) {
    return {
      type: 'RecoveryStopped',
      message: `a setting is smaller than production's was: ${setting}`,
      hint: '`pgr abort`, then start again: a new plan reads the settings again',
    };
  }
  for (const known of KNOWN_ENDS) {
    const line = lines.findLast((candidate) => known.pattern.test(candidate));
    if (line !== undefined) return { type: known.type, message: `${known.message}: ${textOf(line)}`, hint: known.hint };
  }
  const fatal = lines.findLast(
    (line) => /(FATAL|PANIC): /.test(line) && !/the database system is|terminating/.test(line),
  );
  return fatal === undefined ? null : { type: 'RecoveryStopped', message: textOf(fatal), hint: null };
}

/** A line without its time and pid. */
export function textOf(line: string): string {
  return line.replace(/^[\d-]+ [\d:.]+ UTC \[\d+\] /, '').trim();
}

/** Seconds between two lines by their own times; null when one has none. */
export function secondsBetweenLines(from: string | undefined, to: string | undefined): number | null {
  const [first, last] = [timeOf(from), timeOf(to)];
  return first === null || last === null ? null : secondsBetween(first, last);
}

function timeOf(line: string | undefined): string | null {
  const match = /^([\d-]+ [\d:.]+ UTC) /.exec(line ?? '');
  return match?.[1] === undefined ? null : normaliseTimestamp(match[1]);
}
