/** Argument array of pg_waldump. Pure. */
import type { Lsn } from '../../shared/lsn.js';

/** Kinds of records that we ever ask for; the server's own names (`pg_waldump --rmgr=list`). */
export type ResourceManager = 'Transaction' | 'XLOG' | 'Standby';

export type WaldumpRange = {
  dir: string;
  firstSegment: string;
  lastSegment: string;
  managers: readonly ResourceManager[];
  /** Must lie in the first segment. */
  startLsn?: Lsn;
  /** Must lie in the last segment. */
  endLsn?: Lsn;
  limit?: number;
};

/** Reads all records that begin from the first segment to the last one and end there. */
export function waldumpArgs(range: WaldumpRange): string[] {
  return [
    `--path=${range.dir}`,
    ...range.managers.map((manager) => `--rmgr=${manager}`),
    ...(range.startLsn === undefined ? [] : [`--start=${range.startLsn}`]),
    ...(range.endLsn === undefined ? [] : [`--end=${range.endLsn}`]),
    ...(range.limit === undefined ? [] : [`--limit=${range.limit}`]),
    range.firstSegment,
    range.lastSegment,
  ];
}
