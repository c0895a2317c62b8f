/**
 * Log sequence numbers (PostgreSQL docs, "pg_lsn type"): a 64-bit position in the WAL, written `HI/LO` in hexadecimal.
 * As text they do not sort, so they are compared through {@link compareLsn} only.
 */
export type Lsn = string & { readonly __brand: 'Lsn' };

const LSN_PATTERN = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i;

/** Parses `HI/LO`; returns null for anything else, so that callers name the field in their own error. */
export function parseLsn(text: string): Lsn | null {
  const match = LSN_PATTERN.exec(text.trim());
  if (!match) return null;
  return formatLsn(lsnToBigInt(text.trim() as Lsn));
}

/** The LSN as an integer: bytes since the start of the WAL. */
export function lsnToBigInt(lsn: Lsn): bigint {
  const [high = '0', low = '0'] = lsn.split('/');
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}

/** Formats a byte position as PostgreSQL prints it (upper case, no leading zeros). */
export function formatLsn(position: bigint): Lsn {
  const high = (position >> 32n).toString(16).toUpperCase();
  const low = (position & 0xffffffffn).toString(16).toUpperCase();
  return `${high}/${low}` as Lsn;
}

/** Negative, zero or positive, as for `Array.sort`. */
export function compareLsn(a: Lsn, b: Lsn): number {
  const left = lsnToBigInt(a);
  const right = lsnToBigInt(b);
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** Bytes from `from` to `to` (negative when `to` lies before `from`). */
export function lsnDistanceBytes(from: Lsn, to: Lsn): number {
  return Number(lsnToBigInt(to) - lsnToBigInt(from));
}
