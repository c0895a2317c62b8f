/** Looks at a dump before anything is made of it: what it is, whether it is whole, what it needs. Only reads. */
import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';

import type { DumpCompression, DumpFormat, DumpPlan } from '../../../shared/contracts/dump.js';
import { describeFailure, runProgram } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';
import { throwIfCancelled } from '../../lib/cancellation.js';
import { codeOf } from '../data-directory.js';
import { parseArchiveList, type ArchiveHeader } from './archive-list.js';
import { archiveAsSqlArgs, decompressCommand, listArgs } from './commands.js';
import { fileKindOf, HEAD_BYTES, type FileKind } from './formats.js';
import { outputOf } from './piped.js';
import { tarProblem } from './whole-tar.js';
import { createSqlScanner, type ScanFacts } from './sql-scan.js';

/** Between two pieces of output of pg_restore lies at most a slow disk. */
const STALL_MS = 300_000;

export type DumpFile = {
  path: string;
  format: DumpFormat;
  compression: DumpCompression;
  bytes: number;
  modifiedAt: string;
};

/** Throws NotFound, or BackupCorrupt for something that is not a dump. */
export async function identifyDump(file: string): Promise<DumpFile> {
  const facts = await stat(file).catch((error: unknown) => {
    throw stepFailure(
      codeOf(error) === 'ENOENT' ? 'NotFound' : 'PreconditionFailed',
      `cannot read ${file}: ${codeOf(error)}`,
      { hint: 'the dump must lie on the host of the sandbox (see --host), where its worker may read it' },
    );
  });
  if (facts.isDirectory()) return identifyDirectory(file);
  const kind = await kindOf(file);
  const base = { path: file, bytes: facts.size, modifiedAt: facts.mtime.toISOString() };
  if (kind.kind === 'archive' && kind.format === 'tar') await requireWholeTar(file);
  if (kind.kind === 'archive') return { ...base, format: kind.format, compression: 'none' };
  if (kind.kind === 'sql') return { ...base, format: 'plain', compression: 'none' };
  if (kind.kind === 'other') throw notADump(file, kind.what);
  const inside = await kindInside(file, kind.compression);
  if (inside.kind === 'sql') return { ...base, format: 'plain', compression: kind.compression };
  if (inside.kind === 'other') throw notADump(file, `compressed (${kind.compression}), inside ${inside.what}`);
  throw stepFailure('BadUsage', `${file} is an archive of pg_dump that was compressed again (${kind.compression})`, {
    hint: `unpack it and name the result: ${kind.compression === 'gzip' ? 'gzip -dk' : `${kind.compression} -dk`} ${file}`,
  });
}

async function requireWholeTar(file: string): Promise<void> {
  const problem = await tarProblem(file);
  if (problem !== null) throw damaged(file, problem);
}

async function identifyDirectory(dir: string): Promise<DumpFile> {
  const names = await readdir(dir);
  if (!names.includes('toc.dat')) throw notADump(dir, 'a directory without toc.dat');
  const kind = await kindOf(path.join(dir, 'toc.dat'));
  if (kind.kind !== 'archive' || kind.format !== 'custom') throw notADump(dir, 'a directory with a damaged toc.dat');
  let bytes = 0;
  for (const name of names) bytes += (await stat(path.join(dir, name))).size;
  const { mtime } = await stat(path.join(dir, 'toc.dat'));
  return { path: dir, format: 'directory', compression: 'none', bytes, modifiedAt: mtime.toISOString() };
}

function notADump(file: string, what: string): Error {
  return stepFailure('BackupCorrupt', `${file} is not a dump that can be restored: it is ${what}`, {
    hint: 'nothing was made; name the output of pg_dump or pg_dumpall',
  });
}

async function kindOf(file: string): Promise<FileKind> {
  const handle = await open(file, 'r').catch((error: unknown) => {
    throw stepFailure('PreconditionFailed', `cannot read ${file}: ${codeOf(error)}`);
  });
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return fileKindOf(buffer.subarray(0, bytesRead));
  } finally {
    await handle.close();
  }
}

async function kindInside(file: string, compression: Exclude<DumpCompression, 'none'>): Promise<FileKind> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of sqlOf({ path: file, compression })) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes >= HEAD_BYTES) break;
  }
  return fileKindOf(Buffer.concat(pieces).subarray(0, HEAD_BYTES));
}

/** The SQL of a plain dump. Throws BackupCorrupt when it cannot be decompressed to its end. */
export function sqlOf({ path: file, compression }: Pick<DumpFile, 'path' | 'compression'>): AsyncIterable<Buffer> {
  if (compression === 'none') return createReadStream(file, { highWaterMark: 256 * 1024 });
  const [program, args] = decompressCommand(compression, file);
  return outputOf({
    program,
    args,
    failed: (stderr) => damaged(file, `${program} says: ${lastLine(stderr)}`),
  });
}

/** Header of an archive. Throws BackupCorrupt, or MajorMismatch when it was made by a newer pg_dump than the programs here. */
export async function readArchiveHeader(binDir: string, file: string): Promise<ArchiveHeader> {
  const result = await runProgram(path.join(binDir, 'pg_restore'), listArgs(file), { timeoutMs: 300_000 });
  if (result.exitCode === 0) return parseArchiveList(result.stdout);
  throw archiveFailure(file, describeFailure(result));
}

function archiveFailure(file: string, said: string): Error {
  if (/unsupported version/.test(said)) {
    return stepFailure('MajorMismatch', `${file} was made by a newer pg_dump: ${lastLine(said)}`, {
      hint: 'nothing was made; restore it with the programs of that version (binDir of the sandbox host)',
    });
  }
  return damaged(file, `pg_restore says: ${lastLine(said)}`);
}

function damaged(file: string, why: string): Error {
  return stepFailure('BackupCorrupt', `${file} is damaged or cut off: ${why}`, {
    hint: 'nothing was made; fetch the dump again and compare its size, or take an older one',
  });
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}

/** Reads everything that a dump holds (of an archive with `schemaOnly` its schema only). Throws BackupCorrupt when it is not whole. */
export async function scanDump(
  binDir: string,
  file: DumpFile,
  options: { ownership: DumpPlan['ownership']; schemaOnly: boolean },
): Promise<ScanFacts> {
  const scanner = createSqlScanner();
  for await (const piece of sourceOf(binDir, file, options)) {
    throwIfCancelled();
    scanner.push(piece);
  }
  const facts = scanner.end();
  if (facts.complete) return facts;
  throw damaged(file.path, 'the line "dump complete" that pg_dump writes at the end is not there');
}

function sourceOf(
  binDir: string,
  file: DumpFile,
  { ownership, schemaOnly }: { ownership: DumpPlan['ownership']; schemaOnly: boolean },
): AsyncIterable<Buffer> {
  if (file.format === 'plain') return sqlOf(file);
  return outputOf({
    program: path.join(binDir, 'pg_restore'),
    args: archiveAsSqlArgs(file.path, ownership, schemaOnly),
    failed: (stderr) => archiveFailure(file.path, stderr),
    stallMs: STALL_MS,
  });
}
