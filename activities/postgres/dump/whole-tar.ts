/**
 * Whether a tar is whole, by its headers only. pg_restore must not be asked: of a tar that was cut off it reads the end round and round (18.6, seen).
 */
import { open, type FileHandle } from 'node:fs/promises';

const BLOCK = 512;
const SIZE_AT = 124;
const SIZE_BYTES = 12;

/** What is wrong with the tar, null when every member and the end are there. */
export async function tarProblem(file: string): Promise<string | null> {
  const handle = await open(file, 'r');
  try {
    return await walk(handle, (await handle.stat()).size);
  } finally {
    await handle.close();
  }
}

async function walk(handle: FileHandle, bytes: number): Promise<string | null> {
  const header = Buffer.alloc(BLOCK);
  for (let at = 0; at + BLOCK <= bytes;) {
    await handle.read(header, 0, BLOCK, at);
    if (header.every((byte) => byte === 0)) return null;
    const size = memberSize(header);
    if (size === null) return `there is no header of a member at byte ${String(at)}`;
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    if (at > bytes) return `its last member wants ${String(at - bytes)} bytes more than there are`;
  }
  return 'it has no end mark';
}

/** Octal digits, or for large members a number to the base 256 (POSIX pax and GNU). */
function memberSize(header: Buffer): number | null {
  const field = header.subarray(SIZE_AT, SIZE_AT + SIZE_BYTES);
  if (((field[0] ?? 0) & 0x80) !== 0) return field.subarray(4).reduce((sum, byte) => sum * 256 + byte, 0);
  const text = field
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trim();
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : null;
}
