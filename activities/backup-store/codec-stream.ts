/**
 * Decompression of a stream, whatever its length, with bounded memory. What Node and its libraries do not have (bzip2, xz, LZ4 frames with
 * checksums) is done by the system's own programs, which every database host has or can install.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { createGunzip } from 'node:zlib';

import { stepFailure } from '../lib/failure.js';
import { unpackLz4Stream } from './codec-lz4-stream.js';
import { unpackZstd } from './zstd-stream.js';

export type StreamCompression = 'gz' | 'zst' | 'lz4' | 'bz2' | 'xz' | 'snappy';

/** Debian's names of the programs; each decompresses its standard input with `-dc`. */
const PROGRAMS = { bz2: 'bzip2', xz: 'xz', lz4: 'lz4' } as const;
const PACKAGES = { bz2: 'bzip2', xz: 'xz-utils', lz4: 'lz4' } as const;

/**
 * Decompressed pieces of `source`. Throws a plain Error with the decoder's words when the data is damaged or cut, PreconditionFailed when a program is
 * not installed; failures of the source pass through.
 */
export async function* unpackPieces(
  source: AsyncIterable<Buffer>,
  compression: StreamCompression,
): AsyncGenerator<Buffer> {
  switch (compression) {
    case 'zst':
      yield* unpackZstd(source);
      return;
    case 'snappy':
      yield* unpackSnappy(source);
      return;
    case 'gz':
      yield* through(createGunzip({ chunkSize: 1024 * 1024 }), source);
      return;
    case 'lz4':
      yield* unpackLz4Stream(source, (rest) => unpackByProgram(rest, 'lz4'));
      return;
    case 'bz2':
    case 'xz':
      yield* unpackByProgram(source, compression);
      return;
  }
}

/** The framing format of Snappy, which is what Barman writes. */
async function* unpackSnappy(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const { Decompressor } = await import('snappy');
  const decoder = new Decompressor();
  for await (const piece of source) {
    const raw = decoder.update(piece);
    if (raw.length > 0) yield raw;
  }
  const rest = await decoder.finish();
  if (rest.length > 0) yield rest;
}

type Decoder = { readonly writable: boolean; write(piece: Buffer): boolean; end(): unknown } & NodeJS.EventEmitter;

/** Writes the source into a decoder as fast as that takes it. Returns the failure of the source; one of the decoder is heard where it is read. */
async function feed(decoder: Decoder, source: AsyncIterable<Buffer>, isOver: Promise<unknown>): Promise<Error | null> {
  try {
    for await (const piece of source) {
      if (!decoder.writable) return null;
      if (!decoder.write(piece)) await Promise.race([once(decoder, 'drain').catch(() => undefined), isOver]);
    }
    decoder.end();
    return null;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

async function* through(
  decoder: NodeJS.ReadWriteStream & Readable,
  source: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  const closed = new Promise((resolve) => decoder.once('close', resolve));
  const fed = feed(decoder as unknown as Decoder, source, closed).then((failure) => {
    if (failure !== null) decoder.destroy(failure);
    return failure;
  });
  try {
    for await (const piece of decoder) yield piece as unknown as Buffer;
  } finally {
    decoder.destroy();
    await fed;
  }
}

async function* unpackByProgram(
  source: AsyncIterable<Buffer>,
  compression: keyof typeof PROGRAMS,
): AsyncGenerator<Buffer> {
  const program = PROGRAMS[compression];
  const env = { PATH: process.env['PATH'], LC_ALL: 'C' };
  const child = spawn(program, ['-dc'], { stdio: ['pipe', 'pipe', 'pipe'], env });
  const { ended, said } = watch(child);
  // It closes its input when it gives up; why, it says on its way out.
  child.stdin.on('error', () => undefined);
  const fed = feed(child.stdin, source, ended).then((failure) => {
    if (failure !== null) child.kill('SIGKILL');
    return failure;
  });
  let isRead = false;
  try {
    for await (const piece of child.stdout) yield piece as Buffer;
    isRead = true;
  } finally {
    if (!isRead) child.kill('SIGKILL');
    const [outcome, failure] = await Promise.all([ended, fed]);
    // Thrown here only after everything was read: a reader that left on its own has its own reason.
    if (isRead) requireGood(outcome, failure, said(), compression);
  }
}

type Outcome = { code: number | null } | { error: Error };

function watch(child: ChildProcessByStdio<Writable, Readable, Readable>): {
  ended: Promise<Outcome>;
  said: () => string;
} {
  let text = '';
  child.stderr.on('data', (piece: Buffer) => {
    text = (text + piece.toString('utf8')).slice(-500);
  });
  const ended = new Promise<Outcome>((resolve) => {
    child.once('error', (error) => {
      resolve({ error });
    });
    child.once('close', (code) => {
      resolve({ code });
    });
  });
  return { ended, said: () => text.trim().replace(/\s+/g, ' ') };
}

function requireGood(outcome: Outcome, failure: Error | null, said: string, compression: keyof typeof PROGRAMS): void {
  if (failure !== null) throw failure;
  const program = PROGRAMS[compression];
  if ('error' in outcome) {
    throw stepFailure(
      'PreconditionFailed',
      `${program} is needed for this data and cannot be run: ${outcome.error.message}`,
      {
        hint: `apt-get install ${PACKAGES[compression]} on this host, then \`pgr retry\``,
      },
    );
  }
  if (outcome.code !== 0) throw new Error(said === '' ? `${program} ended with code ${String(outcome.code)}` : said);
}
