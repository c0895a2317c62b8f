/** What `pgbackrest info --output=json` says of a stanza. Pure. */
import { z } from 'zod';

import { parseLsn, type Lsn } from '../../../shared/lsn.js';
import { stepFailure } from '../../lib/failure.js';

const lsn = z.string().transform((text, context): Lsn => {
  const parsed = parseLsn(text);
  if (parsed !== null) return parsed;
  context.addIssue({ code: 'custom', message: `"${text}" is not an lsn` });
  return z.NEVER;
});
const status = z.object({ code: z.int(), message: z.string() });
const databaseRef = z.object({ id: z.int(), 'repo-key': z.int().default(1) });

const backupSchema = z.object({
  label: z.string().min(1),
  type: z.enum(['full', 'diff', 'incr']),
  /** True when pages had wrong checksums while it was taken; unknown for a backup without checksums. */
  error: z.boolean().nullish(),
  annotation: z.record(z.string(), z.string()).nullish(),
  archive: z.object({ start: z.string().nullable(), stop: z.string().nullable() }),
  database: databaseRef,
  lsn: z.object({ start: lsn, stop: lsn }).nullish(),
  reference: z.array(z.string()).nullish(),
  /** Seconds since 1970, cut. */
  timestamp: z.object({ start: z.int(), stop: z.int() }),
  info: z.object({
    size: z.int().nonnegative(),
    repository: z.object({ size: z.int().nonnegative().nullish(), delta: z.int().nonnegative().nullish() }),
  }),
  /** Only for one base at a time. */
  tablespace: z.array(z.object({ name: z.string(), destination: z.string() })).nullish(),
});

const stanzaSchema = z.object({
  name: z.string(),
  status: status.extend({ lock: z.object({ backup: z.object({ held: z.boolean() }) }).nullish() }),
  repo: z.array(z.object({ key: z.int(), status })).default([]),
  db: z.array(z.object({ id: z.int(), 'repo-key': z.int().default(1), 'system-id': z.string(), version: z.string() })),
  archive: z.array(
    z.object({ id: z.string(), database: databaseRef, min: z.string().nullable(), max: z.string().nullable() }),
  ),
  backup: z.array(backupSchema),
});

export type StanzaInfo = z.output<typeof stanzaSchema>;
export type InfoBackup = StanzaInfo['backup'][number];

/** Codes of the status (src/command/info/info.c). */
const STATUS = { ok: 0, missingPath: 1, noBackup: 2, missingData: 3, mixed: 4, other: 99 } as const;

/**
 * The stanza. Its exit code is 0 even when nothing could be read, so the status decides: StoreUnavailable when no repository could be read, NotFound when none
 * knows the stanza. CommandFailed for an answer that is none.
 */
export function parseInfo(text: string, stanza: string): StanzaInfo {
  const found = parseStanzas(text).find(({ name }) => name === stanza);
  if (found === undefined) throw unknownStanza(stanza, 'info does not list it');
  const codes = found.repo.length === 0 ? [found.status.code] : found.repo.map((repo) => repo.status.code);
  const isReadable = codes.some(
    (code) => code !== STATUS.other && code !== STATUS.missingPath && code !== STATUS.missingData,
  );
  if (isReadable) return found;
  const said = [...new Set([...found.repo.map((repo) => repo.status.message), found.status.message])];
  const [message = ''] = said;
  if (codes.includes(STATUS.other)) {
    throw stepFailure('StoreUnavailable', `stanza ${stanza} cannot be read: ${oneLine(message)}`, {
      hint: 'run `pgbackrest info` on this host and mend what it names; the run goes on by itself then',
    });
  }
  throw unknownStanza(stanza, message);
}

/** Repositories of the stanza that could not be read, one sentence each. */
export function repositoryProblems({ repo }: StanzaInfo): string[] {
  const isFine = (code: number): boolean => code === STATUS.ok || code === STATUS.noBackup;
  return repo
    .filter((one) => !isFine(one.status.code))
    .map((one) => `repository ${String(one.key)} is not used: ${oneLine(one.status.message)}`);
}

/** One base with what only a question for it tells. NotFound when it is not there. */
export function parseInfoOfBase(text: string, stanza: string, label: string): InfoBackup {
  const backup = parseInfo(text, stanza).backup.find((one) => one.label === label);
  if (backup !== undefined) return backup;
  throw stepFailure('NotFound', `stanza ${stanza} does not have base ${label} (any more)`, {
    hint: 'run `pgr window` for what there is',
  });
}

function parseStanzas(text: string): StanzaInfo[] {
  // System identifiers are larger than the numbers of JavaScript are exact.
  const quoted = text.replace(/("system-id":)\s*(\d+)/g, '$1"$2"');
  const unclear = (why: string, cause?: unknown): Error =>
    stepFailure('CommandFailed', `pgbackrest info gave an answer that is not understood: ${why}`, {
      hint: 'pgbackrest 2.45 or newer is needed: run `pgbackrest version`',
      cause,
    });
  let document: unknown;
  try {
    document = JSON.parse(quoted);
  } catch (error) {
    throw unclear('it is not json', error);
  }
  const parsed = z.array(stanzaSchema).safeParse(document);
  if (parsed.success) return parsed.data;
  const [first] = parsed.error.issues;
  throw unclear(first === undefined ? 'unknown' : `${first.path.join('.')}: ${first.message}`);
}

function unknownStanza(stanza: string, why: string): Error {
  return stepFailure('NotFound', `the repository has no stanza ${stanza}: ${oneLine(why)}`, {
    hint: 'correct backups.stanza in the config, or see that the repository is mounted and reachable: `pgbackrest info`',
  });
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' | ');
}
