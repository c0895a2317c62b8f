import type { ListSnapshotsInput, ListSnapshotsResult } from '../shared/contracts/runs.js';
import { asRunFailure } from './lib/failures.js';
import { readSafetyCopies } from './lib/safety-copies.js';

/** The safety copies of an environment, asked host by host. A host that does not answer is named and hinders nobody. */
export async function listSnapshots({ environment }: ListSnapshotsInput): Promise<ListSnapshotsResult> {
  try {
    const { copies, unanswered } = await readSafetyCopies(environment);
    return { copies, unanswered };
  } catch (error) {
    throw asRunFailure(error);
  }
}
