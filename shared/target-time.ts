/**
 * The target of a recovery as a person writes it. A time must carry its zone: PostgreSQL and every other tool read a bare
 * `2026-06-13 09:53` as local time of some machine, which is how the wrong second is restored (invariant 8).
 */
import { parseLsn, type Lsn } from './lsn.js';

export type TargetSpec =
  | { kind: 'time'; value: string }
  | { kind: 'latest' }
  | { kind: 'immediate' }
  | { kind: 'xid'; value: string }
  | { kind: 'before-xid'; value: string }
  | { kind: 'lsn'; value: Lsn }
  | { kind: 'name'; value: string };

export type ParsedTarget = { ok: true; target: TargetSpec } | { ok: false; problem: string; hint: string };

const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$/;
const TIME_EXAMPLE = 'write it with a zone, for example 2026-06-13T09:53:26Z or 2026-06-13T11:53:26+02:00';

/** Whole target text: a time, `latest`, `immediate`, `xid:N`, `before-xid:N`, `lsn:X/Y` or `name:N`. */
export function parseTarget(text: string): ParsedTarget {
  const trimmed = text.trim();
  if (trimmed === 'latest' || trimmed === 'immediate') return { ok: true, target: { kind: trimmed } };
  const prefixed = /^(xid|before-xid|lsn|name):(.*)$/.exec(trimmed);
  if (prefixed) return parsePrefixed(prefixed[1] ?? '', prefixed[2] ?? '');
  return parseTime(trimmed);
}

function parsePrefixed(kind: string, value: string): ParsedTarget {
  if (kind === 'lsn') {
    const lsn = parseLsn(value);
    return lsn
      ? { ok: true, target: { kind: 'lsn', value: lsn } }
      : {
          ok: false,
          problem: `"${value}" is not an lsn`,
          hint: 'write it as PostgreSQL prints it, for example lsn:0/5A0001C8',
        };
  }
  if (kind === 'name') {
    // PostgreSQL stores restore point names in 64 bytes (MAXFNAMELEN) including the terminating zero.
    return value.length > 0 && value.length < 64
      ? { ok: true, target: { kind: 'name', value } }
      : {
          ok: false,
          problem: 'a restore point name has 1 to 63 characters',
          hint: 'use the name given to pg_create_restore_point()',
        };
  }
  if (!/^\d{1,20}$/.test(value)) {
    return {
      ok: false,
      problem: `"${value}" is not a transaction id`,
      hint: `write it as a number, for example ${kind}:3046792`,
    };
  }
  return { ok: true, target: { kind: kind as 'xid' | 'before-xid', value } };
}

function parseTime(text: string): ParsedTarget {
  const match = RFC3339.exec(text);
  if (!match) {
    const bare = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?$/.test(text);
    return {
      ok: false,
      problem: bare ? `the time "${text}" has no zone` : `"${text}" is not a target`,
      hint: bare ? TIME_EXAMPLE : `${TIME_EXAMPLE}; or latest, immediate, xid:N, before-xid:N, lsn:X/Y, name:N`,
    };
  }
  const micros = toUtcMicros(match);
  return micros === null
    ? { ok: false, problem: `"${text}" is not a real time`, hint: TIME_EXAMPLE }
    : { ok: true, target: { kind: 'time', value: micros } };
}

/** Normalises to UTC with microseconds, PostgreSQL's resolution; null for 31 February and the like. */
function toUtcMicros(match: RegExpExecArray): string | null {
  const fraction = (match[7] ?? '.0').slice(1).padEnd(6, '0').slice(0, 6);
  const zone = (match[8] ?? 'Z').toUpperCase();
  const local = `${match[1] ?? ''}-${match[2] ?? ''}-${match[3] ?? ''}T${match[4] ?? ''}:${match[5] ?? ''}:${match[6] ?? ''}`;
  const asUtc = new Date(`${local}Z`);
  if (Number.isNaN(asUtc.getTime()) || asUtc.toISOString().slice(0, 19) !== local) return null;
  const instant = new Date(`${local}${zone}`);
  if (Number.isNaN(instant.getTime())) return null;
  return `${instant.toISOString().slice(0, 19)}.${fraction}Z`;
}

/** A PostgreSQL or RFC 3339 timestamp with zone as UTC with microseconds; null when it has no zone or is no time. */
export function normaliseTimestamp(text: string): string | null {
  const iso = text
    .trim()
    .replace(/ UTC$/, 'Z')
    .replace(/([+-]\d{2})$/, '$1:00')
    .replace(' ', 'T');
  const match = RFC3339.exec(iso);
  return match ? toUtcMicros(match) : null;
}

/** Compares two timestamps already in the normal form of this file (same length, UTC): text order is time order. */
export function compareTimestamps(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Seconds from `from` to `to`, both in the normal form. */
export function secondsBetween(from: string, to: string): number {
  const micros = (text: string): number => Date.parse(`${text.slice(0, 19)}Z`) * 1000 + Number(text.slice(20, 26));
  return (micros(to) - micros(from)) / 1_000_000;
}

/** The target as it is written on the command line. */
export function formatTarget(target: TargetSpec): string {
  switch (target.kind) {
    case 'time':
      return target.value;
    case 'latest':
    case 'immediate':
      return target.kind;
    default:
      return `${target.kind}:${target.value}`;
  }
}
