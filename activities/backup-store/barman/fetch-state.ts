/** Whether a backup is here, and how often that was tried. */
import { z } from 'zod';

import { openBaseState } from '../base-state.js';
import type { Owner } from '../chunk-files.js';

const stateSchema = z.object({
  api: z.literal(1),
  store: z.literal('barman'),
  base: z.string(),
  /** How often it was begun: each attempt writes into a directory of its own, because what a killed one started may go on writing. */
  attempt: z.int().nonnegative(),
  isComplete: z.boolean(),
});

export type FetchState = z.output<typeof stateSchema>;

/** As {@link openBaseState}. */
export function openState(baseDir: string, base: string, owner: Owner): Promise<FetchState> {
  const fresh: FetchState = { api: 1, store: 'barman', base, attempt: 0, isComplete: false };
  return openBaseState(baseDir, stateSchema, fresh, owner);
}
