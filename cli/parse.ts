/** Values of flags. Bad ones are refused before anything is contacted. */
import os from 'node:os';

import { PgrFailure } from '../shared/pgr-failure.js';
import { compareTimestamps, normaliseTimestamp, parseTarget, type TargetSpec } from '../shared/target-time.js';

const UNIT_SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 } as const;
/** Clocks of two machines differ; a target this little ahead of ours is left to the plan, which knows the server's clock. */
const CLOCK_TOLERANCE_SECONDS = 60;

/** `90s`, `15m`, `24h`, `7d` in seconds. Throws BadUsage, naming the flag. */
export function parseDuration(text: string, flag: string): number {
  const match = /^(\d{1,9})(s|m|h|d)$/.exec(text.trim());
  if (!match) {
    throw new PgrFailure('BadUsage', `${flag} ${text}: that is not a duration`, {
      hint: 'write a number and a unit: 90s, 15m, 24h, 7d',
    });
  }
  return Number(match[1]) * UNIT_SECONDS[match[2] as keyof typeof UNIT_SECONDS];
}

/** The target of `--to` or `--ago`; exactly one must be given. Throws BadUsage, TargetMalformed or TargetNotRecoverable (future). */
export function parseTargetFlags(flags: { to?: string; ago?: string }, now: Date): TargetSpec {
  if (flags.to !== undefined && flags.ago !== undefined)
    throw new PgrFailure('BadUsage', '--to and --ago both name the target', { hint: 'give one of them' });
  if (flags.ago !== undefined) return agoTarget(flags.ago, now);
  if (flags.to === undefined) {
    throw new PgrFailure('BadUsage', 'the target is missing', {
      hint: 'give --to with a time, latest, immediate, xid:N, before-xid:N, lsn:X/Y or name:N; or --ago 15m',
    });
  }
  const parsed = parseTarget(flags.to);
  if (!parsed.ok) throw new PgrFailure('TargetMalformed', parsed.problem, { hint: parsed.hint });
  if (parsed.target.kind === 'time') refuseFuture(parsed.target.value, now);
  return parsed.target;
}

function agoTarget(ago: string, now: Date): TargetSpec {
  const seconds = parseDuration(ago, '--ago');
  const value = normaliseTimestamp(new Date(now.getTime() - seconds * 1000).toISOString());
  if (value === null) throw new PgrFailure('BadUsage', `--ago ${ago}: that is before all time`, { hint: 'give less' });
  return { kind: 'time', value };
}

function refuseFuture(value: string, now: Date): void {
  const limit = normaliseTimestamp(new Date(now.getTime() + CLOCK_TOLERANCE_SECONDS * 1000).toISOString());
  if (limit === null || compareTimestamps(value, limit) <= 0) return;
  throw new PgrFailure('TargetNotRecoverable', `${value} lies in the future; it is ${now.toISOString()} now`, {
    hint: 'a target is a moment that has passed; for the newest possible state use --to latest',
  });
}

/** Who acts: --by, PGR_USER, the user behind sudo, the operating system's user. */
export function actorOf(by: string | undefined, env: Readonly<Record<string, string | undefined>>): string {
  const name = (by ?? env['PGR_USER'] ?? osUser(env)).trim();
  if (name !== '' && name.length <= 100 && !/[\p{Cc}]/u.test(name)) return name;
  throw new PgrFailure('BadUsage', 'it is not known who asks', { hint: 'give --by NAME or set PGR_USER' });
}

function osUser(env: Readonly<Record<string, string | undefined>>): string {
  try {
    const name = os.userInfo().username;
    // An audit record that says "root" says nobody.
    return name === 'root' ? (env['SUDO_USER'] ?? name) : name;
  } catch {
    return ''; // a user id without an entry in the user database, as in many containers
  }
}

/** Text of a flag that must say something. Throws BadUsage. */
export function requireText(text: string | undefined, flag: string, why: string): string {
  if (text !== undefined && text.trim() !== '') return text.trim();
  throw new PgrFailure('BadUsage', `${flag} is missing`, { hint: why });
}
