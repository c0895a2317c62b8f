/** LSNs as the server prints them. */
import { parseLsn, type Lsn } from '../../../shared/lsn.js';

/** Null for everything that is no LSN. */
export function lsnOrNull(text: unknown): Lsn | null {
  return typeof text === 'string' ? parseLsn(text) : null;
}
