/** Takes exact numbers of bytes out of a stream of pieces, keeping no more than it must. */
export type ByteReader = {
  /** The next `bytes` bytes; fewer only at the end of the stream. */
  read(bytes: number): Promise<Buffer>;
  /** The next bytes that are here, at most `most`; empty at the end of the stream. */
  some(most: number): Promise<Buffer>;
  /** Bytes taken so far. */
  taken(): number;
};

/** A reader over `source`. */
export function createByteReader(source: AsyncIterable<Buffer>): ByteReader {
  const pieces = source[Symbol.asyncIterator]();
  let current: Buffer = Buffer.alloc(0);
  let taken = 0;
  const fill = async (): Promise<boolean> => {
    while (current.length === 0) {
      const next = await pieces.next();
      if (next.done === true) return false;
      current = next.value;
    }
    return true;
  };
  const some = async (most: number): Promise<Buffer> => {
    if (most === 0 || !(await fill())) return Buffer.alloc(0);
    const piece = current.subarray(0, most);
    current = current.subarray(piece.length);
    taken += piece.length;
    return piece;
  };
  return {
    some,
    taken: () => taken,
    async read(bytes) {
      const first = await some(bytes);
      if (first.length === bytes || first.length === 0) return first;
      const parts = [first];
      for (let have = first.length; have < bytes;) {
        const more = await some(bytes - have);
        if (more.length === 0) break;
        parts.push(more);
        have += more.length;
      }
      return Buffer.concat(parts);
    },
  };
}
