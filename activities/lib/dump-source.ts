/** Where dumps for developers come from. */
import type { DumpObject } from '../../shared/contracts/dev.js';

export interface DumpSource {
  readonly kind: 'file' | 's3' | 'databasus';
  /** Complete dumps, newest first. Throws NotFound when there are none. */
  list(): Promise<DumpObject[]>;
  /** Where a dump lies on this machine already; null for one that has to be fetched. */
  pathOf(dump: DumpObject): string | null;
  /** Brings a dump to `to` (a file, or a directory for a directory dump), which is there only when all of it is. Goes on with what an earlier call left. */
  fetch(dump: DumpObject, to: string, onBytes: (done: number) => void): Promise<void>;
}
