import { sha256Hex } from '../../shared/sha256.js';
import type { RecordEntryBody } from '../../shared/contracts/record.js';

/** Architecture section 5: no payload over 100 KB in history; the rest of the entry needs some of it. */
const MAX_BYTES = 90_000;

/** An entry as it is, or with its large field replaced by size and hash. */
export function fitForHistory(body: RecordEntryBody): RecordEntryBody {
  if (JSON.stringify(body).length <= MAX_BYTES) return body;
  const entries = Object.entries(body).map(([key, value]): [string, unknown] => {
    const text = JSON.stringify(value);
    return text.length > MAX_BYTES / 4
      ? [key, { omitted: 'too large', characters: text.length, sha256: sha256Hex(text) }]
      : [key, value];
  });
  return Object.fromEntries(entries) as RecordEntryBody;
}
