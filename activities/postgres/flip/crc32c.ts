/** CRC-32C (Castagnoli, RFC 3720 section B.4), as PostgreSQL protects pg_control and WAL records with it (src/include/port/pg_crc32c.h). */

const REVERSED_POLYNOMIAL = 0x82f63b78;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ REVERSED_POLYNOMIAL : value >>> 1;
  return value;
});

/** Goes on from `state`; begin with CRC_START, and the checksum of all bytes so far is {@link crcOf} of what is returned. */
export function addToCrc(state: number, byte: number): number {
  return (state >>> 8) ^ (TABLE[(state ^ byte) & 0xff] ?? 0);
}

export const CRC_START = 0xffffffff;

export function crcOf(state: number): number {
  return (state ^ 0xffffffff) >>> 0;
}
