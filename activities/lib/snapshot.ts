/** Safety copies of a node's data (invariant 3). Providers live in activities/snapshot; all calls run on the host of the node. */
import type { SafetyCopy } from '../../shared/contracts/rebuild.js';

export type NewSafetyCopy = Pick<
  SafetyCopy,
  'environment' | 'node' | 'host' | 'run' | 'runId' | 'systemIdentifier' | 'timeline'
>;

export interface SnapshotProvider {
  readonly kind: SafetyCopy['provider'];
  /** What it needs and whether it is there: shown in plans. Throws nothing; a problem is text. */
  check(): Promise<{ problems: string[]; limits: string[] }>;
  /** Name that the copy of a run has, before and after it was taken. */
  nameFor(runId: string): string;
  /**
   * Takes the copy of stopped data, holds it and verifies it. A second call finds the first one's. Throws SnapshotFailed; a copy of that name that
   * is somebody else's is a refusal. `leaves`: whether the data are still in place (`directory` renames them aside).
   */
  take(
    copy: NewSafetyCopy,
  ): Promise<{ outcome: 'taken' | 'already-taken'; copy: SafetyCopy; leaves: 'data-in-place' | 'empty-place' }>;
  /** Copies of this node that this provider made, newest last. */
  list(): Promise<SafetyCopy[]>;
  /** Puts the copy back in the place of the data; what stands there is set aside, never deleted. The server must be shown to be stopped. */
  putBack(copy: SafetyCopy): Promise<{ outcome: 'returned' | 'already-there'; setAside: string | null }>;
  /** Removes the copy for good: hold released, then deleted, nothing else. */
  remove(copy: SafetyCopy): Promise<void>;
}
