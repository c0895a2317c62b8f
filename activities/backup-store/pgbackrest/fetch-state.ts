/** Whether a base is here as a whole. */
import { z } from 'zod';

import { openBaseState } from '../base-state.js';
import type { Owner } from '../chunk-files.js';

const stateSchema = z.object({
  api: z.literal(1),
  store: z.literal('pgbackrest'),
  base: z.string(),
  isComplete: z.boolean(),
});

type PgbackrestFetchState = z.output<typeof stateSchema>;

/** As {@link openBaseState}. */
export function openState(baseDir: string, base: string, owner: Owner): Promise<PgbackrestFetchState> {
  return openBaseState(baseDir, stateSchema, { api: 1, store: 'pgbackrest', base, isComplete: false }, owner);
}
