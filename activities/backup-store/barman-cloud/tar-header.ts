/** The blocks of a tar: the header of a member and the records of a pax header (POSIX.1-2001, pax interchange format). Pure. */

export const TAR_BLOCK = 512;

export type TarHeader = { name: string; type: string; size: number; mode: number; link: string };

/** The header in `block`; null for a block of zeros, which ends a tar. Throws a plain Error when its checksum is wrong. */
export function readTarHeader(block: Buffer): TarHeader | null {
  if (block.every((byte) => byte === 0)) return null;
  const prefix = text(block, 345, 155);
  const name = text(block, 0, 100);
  if (sumOf(block) !== numeric(block, 148, 8)) throw new Error('a header of the tar is damaged');
  const isPosix = block.toString('latin1', 257, 263) === 'ustar\0';
  return {
    name: isPosix && prefix !== '' ? `${prefix}/${name}` : name,
    type: block.toString('latin1', 156, 157),
    size: numeric(block, 124, 12),
    mode: numeric(block, 100, 8) & 0o777,
    link: text(block, 157, 100),
  };
}

/** Records `<length> <name>=<value>\n`; the length counts bytes, its own digits included. */
export function parsePax(content: Buffer): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < content.length;) {
    const space = content.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(content.toString('latin1', at, space));
    if (!Number.isSafeInteger(length) || length <= space - at + 1 || at + length > content.length) {
      throw new Error('a pax header of the tar is damaged');
    }
    const record = content.toString('utf8', space + 1, at + length - 1);
    const equals = record.indexOf('=');
    if (equals > 0) records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}

/** The sum over the header with its own eight bytes counted as spaces. */
function sumOf(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let at = 0; at < TAR_BLOCK; at += 1) if (at < 148 || at >= 156) sum += block[at] ?? 0;
  return sum;
}

function text(block: Buffer, at: number, length: number): string {
  const end = block.indexOf(0, at);
  return block.toString('utf8', at, end < 0 || end > at + length ? at + length : end);
}

/** Octal digits, or base 256 when the first bit is set (sizes of 8 GiB and more). */
function numeric(block: Buffer, at: number, length: number): number {
  if (((block[at] ?? 0) & 0x80) === 0) {
    const digits = block.toString('latin1', at, at + length).replace(/[\0 ]+/g, '');
    return digits === '' ? 0 : Number.parseInt(digits, 8);
  }
  let value = 0;
  for (let index = at + 1; index < at + length; index += 1) value = value * 256 + (block[index] ?? 0);
  return value;
}
