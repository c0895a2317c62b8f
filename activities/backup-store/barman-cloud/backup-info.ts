/**
 * The file `backup.info` that barman-cloud-backup puts beside the archives of a base: lines of `name=value`, the values as Python prints
 * them (barman/infofile.py).
 */
import { parseLsn, type Lsn } from '../../../shared/lsn.js';
import { normaliseTimestamp } from '../../../shared/target-time.js';
import { stepFailure } from '../../lib/failure.js';

/** What is known once the copy has ended well. */
export type BackupPosition = {
  timeline: number;
  beginLsn: Lsn;
  endLsn: Lsn;
  /** UTC with microseconds, clock of the server. */
  beginTime: string;
  endTime: string;
};

export type BackupInfo = {
  id: string;
  /** DONE, or what became of it instead: EMPTY, STARTED, FAILED, WAITING_FOR_WALS, SYNCING. */
  status: string;
  /** What barman said went wrong. */
  error: string | null;
  /** A 64-bit number as text. Null in files of versions before 2.11, which did not write it. */
  systemIdentifier: string | null;
  postgresMajor: number;
  /** As `server_version_num` says it. */
  postgresVersion: number;
  walSegmentBytes: number;
  /** Null unless the status is DONE. */
  position: BackupPosition | null;
  /** Names of the tablespaces outside of the data directory. */
  tablespaces: string[];
  /** Content of the file `backup_label`. */
  backupLabel: string | null;
  /** True when the data is in snapshots of disks and not in the bucket. */
  isSnapshot: boolean;
  /** Encryption by Barman itself (gpg); that of the bucket is not named here and opens by itself. */
  encryption: string | null;
  /** Sum of the sizes of the databases, null in files of older versions. */
  clusterBytes: number | null;
};

/** Parses the text. What cannot be understood is BackupCorrupt and names the line. */
export function parseBackupInfo(text: string, id: string): BackupInfo {
  const values = valuesOf(text, id);
  const status = values.get('status') ?? 'EMPTY';
  const version = number(values, 'version');
  return {
    id,
    status,
    error: values.get('error') ?? null,
    systemIdentifier: systemIdentifierOf(values, id),
    postgresMajor: version === null ? 0 : majorOf(version),
    postgresVersion: version ?? 0,
    walSegmentBytes: number(values, 'xlog_segment_size') ?? 16 * 1024 * 1024,
    position: status === 'DONE' ? positionOf(values, id) : null,
    tablespaces: tablespacesOf(values.get('tablespaces')),
    backupLabel: pythonString(values.get('backup_label')),
    isSnapshot: values.has('snapshots_info'),
    encryption: values.get('encryption') ?? null,
    clusterBytes: number(values, 'cluster_size'),
  };
}

/** Names with a value; `None` counts as absent. */
function valuesOf(text: string, id: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const at = trimmed.indexOf('=');
    if (at < 1) throw notUnderstood(id, `the line "${trimmed.slice(0, 60)}"`);
    const value = trimmed.slice(at + 1);
    if (value !== 'None' && value !== '') values.set(trimmed.slice(0, at), value);
  }
  if (!values.has('status')) throw notUnderstood(id, 'it has no status');
  return values;
}

function number(values: ReadonlyMap<string, string>, name: string): number | null {
  const text = values.get(name);
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** 180006 is of major 18; below 10 the major has two parts, and nothing here supports those. */
function majorOf(version: number): number {
  return Math.floor(version / 10_000);
}

function systemIdentifierOf(values: ReadonlyMap<string, string>, id: string): string | null {
  const text = values.get('systemid');
  if (text === undefined) return null;
  if (!/^\d{1,20}$/.test(text)) throw notUnderstood(id, `systemid is "${text.slice(0, 40)}"`);
  return text;
}

function positionOf(values: ReadonlyMap<string, string>, id: string): BackupPosition {
  const lsn = (name: string): Lsn => parseLsn(values.get(name) ?? '') ?? refuse(name);
  const time = (name: string): string => normaliseTimestamp(values.get(name) ?? '') ?? refuse(name);
  const refuse = (name: string): never => {
    throw notUnderstood(id, `${name} is "${(values.get(name) ?? '').slice(0, 40)}"`);
  };
  return {
    timeline: number(values, 'timeline') ?? refuse('timeline'),
    beginLsn: lsn('begin_xlog'),
    endLsn: lsn('end_xlog'),
    beginTime: time('begin_time'),
    endTime: time('end_time'),
  };
}

/** `[('fast', 16387, '/srv/fast'), …]`, with the names of the tablespaces first. */
function tablespacesOf(text: string | undefined): string[] {
  if (text === undefined || text === '[]') return [];
  const names = [...text.matchAll(/\(\s*(['"])((?:\\.|(?!\1).)*)\1\s*,\s*\d+/g)].map(([, , name = '']) => name);
  // A list that is not understood is still one that is not empty.
  return names.length > 0 ? names : [text.slice(0, 60)];
}

/** A string as Python's repr() prints it; null when it is none. */
function pythonString(text: string | undefined): string | null {
  const match = /^(['"])([\s\S]*)\1$/.exec(text ?? '');
  if (match?.[2] === undefined) return null;
  return match[2].replace(/\\(x[0-9a-f]{2}|u[0-9a-f]{4}|.)/g, (_, code: string) => {
    if (code.length > 1) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    return { n: '\n', t: '\t', r: '\r' }[code] ?? code;
  });
}

function notUnderstood(id: string, problem: string): Error {
  return stepFailure('BackupCorrupt', `backup.info of base ${id} is not understood: ${problem}`);
}
