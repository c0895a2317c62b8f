/** The outer tar of a restore stream: what counts as whole. */
import { createHash } from 'node:crypto';

import { compareSums } from '../../../activities/backup-store/databasus-api/stream-sums.js';
import { CutStream, readEntries } from '../../../activities/backup-store/databasus-api/stream-tar.js';
import { targetTimeFor } from '../../../activities/backup-store/databasus-api/download.js';
import { requirePlannedBase } from '../../../activities/backup-store/databasus-api/planned-base.js';
import type { BaseRef } from '../../../shared/contracts/plan.js';
import type { Lsn } from '../../../shared/lsn.js';
import { TAR_END as END, tarEntry as entry, tarHeader as header } from '../../support/tar.js';

async function* pieces(content: Buffer, size = 100): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += size) yield await Promise.resolve(content.subarray(at, at + size));
}

async function read(content: Buffer): Promise<{ seen: [string, string][]; sums: Map<string, string> }> {
  const seen: [string, string][] = [];
  const sums = await readEntries(pieces(content), async ({ path, content }) => {
    const parts: Buffer[] = [];
    for await (const piece of content) parts.push(piece);
    seen.push([path, Buffer.concat(parts).toString()]);
  });
  return { seen, sums };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

describe('the entries of a stream', () => {
  test('come in their order with their checksums', async () => {
    const { seen, sums } = await read(Buffer.concat([entry('a', 'one'), entry('wal/b', 'x'.repeat(700)), END]));
    expect(seen).toEqual([
      ['a', 'one'],
      ['wal/b', 'x'.repeat(700)],
    ]);
    expect([...sums]).toEqual([
      ['a', sha256('one')],
      ['wal/b', sha256('x'.repeat(700))],
    ]);
  });

  test('what is not read of an entry is skipped, and counts for its checksum', async () => {
    const content = Buffer.concat([entry('a', 'y'.repeat(900)), entry('b', 'two'), END]);
    const sums = await readEntries(pieces(content), () => Promise.resolve());
    expect([...sums.values()]).toEqual([sha256('y'.repeat(900)), sha256('two')]);
  });

  test('the size of a large file stands in a pax header', async () => {
    const big = entry('full/base.tar.zst', 'content');
    // What Go writes for 8 GiB and more: the size field itself is of no use.
    const pax = entry('PaxHeaders.0/base', '10 size=7\n', 'x');
    const { seen } = await read(Buffer.concat([pax, header('full/base.tar.zst', 0), big.subarray(512), END]));
    expect(seen).toEqual([['full/base.tar.zst', 'content']]);
  });

  test.each([
    [
      'inside an entry',
      Buffer.concat([entry('a', 'z'.repeat(600)).subarray(0, 700)]),
      /ends inside a, after 188 of 600/,
    ],
    ['between two entries', entry('a', 'one'), /without an end mark/],
    ['inside a header', Buffer.concat([entry('a', 'one'), header('b', 3).subarray(0, 200)]), /without an end mark/],
    ['with a damaged header', Buffer.concat([entry('a', 'one'), Buffer.alloc(512, 1)]), /damaged/],
    ['with a file twice', Buffer.concat([entry('a', 'one'), entry('a', 'one'), END]), /a twice/],
    ['with a link', Buffer.concat([entry('a', '', '2'), END]), /unknown kind/],
  ])('a stream that ends %s is not whole', async (_, content, text) => {
    const failure: unknown = await read(content).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(CutStream);
    expect((failure as Error).message).toMatch(text);
  });
});

describe('MANIFEST.sha256', () => {
  const sums = new Map([
    ['full/base.tar.zst', sha256('base')],
    ['wal/1.zst', sha256('wal')],
    ['M', sha256('m')],
  ]);
  const lines = [`${sha256('base')}  full/base.tar.zst`, `${sha256('wal')}  wal/1.zst`];

  test('names every file that came, with its checksum', () => {
    expect(() => {
      compareSums(`${lines.join('\n')}\n`, sums, 'M');
    }).not.toThrow();
  });

  test.each([
    ['a file that did not come', [...lines, `${sha256('x')}  wal/2.zst`], /lacks wal\/2.zst/],
    ['not every file', lines.slice(0, 1), /wal\/1.zst, which its M does not name/],
    ['something else', ['hello'], /not understood/],
    ['another checksum', [lines[0] ?? '', `${sha256('other')}  wal/1.zst`], /wal\/1.zst .* differs/],
  ])('that names %s is an error', (_, text, message) => {
    expect(() => {
      compareSums(text.join('\n'), sums, 'M');
    }).toThrow(message);
  });
});

describe('what the controller is asked for', () => {
  const base = { id: 'b', endedAt: '2026-11-21T03:34:59.999999Z' } as BaseRef;

  test('is the target time itself, or just behind the end of the last base', () => {
    const value = '2026-11-21T03:34:57.641463Z';
    expect(targetTimeFor({ target: { kind: 'time', value }, baseChain: [base] })).toBe(value);
    expect(targetTimeFor({ target: { kind: 'latest' }, baseChain: [base] })).toBe('2026-11-21T03:35:00.000000Z');
  });
});

describe('the base that a stream brings', () => {
  const planned = { id: 'b', timeline: 1, startLsn: '0/6000028' as Lsn, stopLsn: '0/6000158' as Lsn } as BaseRef;
  const manifest = (system: string, start: string): string =>
    `{ "System-Identifier": ${system},\n"WAL-Ranges": [\n{ "Timeline": 1, "Start-LSN": "${start}", "End-LSN": "0/6000120" }\n]`;

  test('is the planned one by system and place', () => {
    expect(() => {
      requirePlannedBase(manifest('7710462960820123050', '0/6000028'), planned, {
        systemIdentifier: '7710462960820123050',
      });
    }).not.toThrow();
  });

  test.each([
    ['another system', manifest('7710462960820123051', '0/6000028'), /base of system 7710462960820123051/],
    ['another backup', manifest('7710462960820123050', '0/3000028'), /timeline 1 from 0\/3000028; planned is b/],
    ['no manifest that is known', '{}', /an unknown place/],
  ])('of %s is refused', (_, text, message) => {
    expect(() => {
      requirePlannedBase(text, planned, { systemIdentifier: '7710462960820123050' });
    }).toThrow(message);
  });
});
