/** Entries of a tar as Go writes them, for streams that tests make. */

const BLOCK = 512;

/** One header block (ustar). */
export function tarHeader(name: string, size: number, type = '0'): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0);
  block.write('0000600\0', 100);
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  block.fill(' ', 148, 156);
  block.write(type, 156);
  block.write('ustar\0', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** Header, content and padding. */
export function tarEntry(name: string, content: Buffer | string, type = '0'): Buffer {
  const body = Buffer.from(content);
  const padding = Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK);
  return Buffer.concat([tarHeader(name, body.length, type), body, padding]);
}

/** The end mark. */
export const TAR_END = Buffer.alloc(2 * BLOCK);
