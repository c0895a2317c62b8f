/**
 * Safety copies of a node's data (invariant 3), and moves of whole data directories. Providers live in activities/snapshot; all calls run on the host of
 * the node.
 */
import type { SafetyCopy } from '../../shared/contracts/rebuild.js';
import type { RunAs } from './exec.js';

export type NewSafetyCopy = Pick<
  SafetyCopy,
  'environment' | 'node' | 'host' | 'run' | 'runId' | 'systemIdentifier' | 'timeline'
>;

export interface SnapshotProvider extends DataMover {
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

/**
 * Moves of a whole data directory of the node between its place (`<dataDir>`) and places beside it (`<dataDir>.kept-…`, `.undone-…`, `.new-…`): a rename of
 * the directory, of the subvolume, or of the dataset together with its mount point. No data are copied and none are deleted.
 */
export interface DataMover {
  /** Why the data directory cannot be moved; empty when it can, or when there is none. Throws nothing. */
  moveProblems(): Promise<string[]>;
  /** What a person would do for the same: for notes and hints. */
  describeMove(from: string, to: string): string;
  /** Completes a move that a killed call began. Everything that looks at the places calls this first. Throws SnapshotFailed. */
  settleMoves(): Promise<void>;
  /**
   * Moves it, durably. Needs: no server on `from`, and nothing but an empty directory at `to`. Throws PreconditionFailed or SnapshotFailed; killed
   * anywhere, {@link settleMoves} completes it.
   */
  move(from: string, to: string): Promise<void>;
  /** Whether `dir`, made by others, can be moved as it is. Else its files must be copied into a room first. */
  isMovable(dir: string): Promise<boolean>;
  /** An empty directory at `place` that can be moved: a dataset or subvolume of its own where that is what data are. One that is there stays as it is. */
  makeRoom(place: string, owner: RunAs): Promise<void>;
  /** Takes a room of a run (`<dataDir>.new-…`) away with what is in it; none is fine. */
  removeRoom(place: string): Promise<void>;
}
