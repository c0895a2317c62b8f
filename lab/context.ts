/** What every stage of the lab works with. */
import type { LabPaths } from './paths.js';
import type { LabProgress } from './progress.js';
import { writeState, type LabState } from './state.js';

export type LabContext = {
  paths: LabPaths;
  state: LabState;
  progress: LabProgress;
  /** Directory of the built programs. */
  distDir: string;
  /** The node program that runs ours. */
  node: string;
  /** Writes of lab.json one after another: stages run side by side and change different parts of it. */
  writes: Promise<void>;
};

/** Changes the state and writes it at once: after a SIGKILL the next command knows everything that was reached. */
export async function updateState(context: LabContext, change: Partial<LabState>): Promise<void> {
  Object.assign(context.state, change);
  const write = context.writes.then(() => writeState(context.paths, context.state));
  context.writes = write.catch(() => undefined);
  await write;
}
