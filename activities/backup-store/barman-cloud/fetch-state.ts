/** How far the archives of a base are on disk, so that a transfer goes on where it was. */
import { z } from 'zod';

import type { BaseHeader } from '../base-catalog.js';
import { openBaseState } from '../base-state.js';
import type { Owner } from '../chunk-files.js';

const linkSchema = z.object({ path: z.string(), type: z.enum(['symlink', 'hardlink']), link: z.string() });

const stateSchema = z.object({
  api: z.literal(1),
  base: z.string(),
  /** SHA-256 of the base's backup.info. */
  info: z.string(),
  /** Offset in the unpacked tar up to which all members are on disk, per archive. */
  written: z.record(z.string(), z.int().nonnegative()),
  /** Archives that are on disk as a whole. */
  done: z.array(z.string()),
  /** Links are made last. */
  links: z.array(linkSchema),
  files: z.int().nonnegative(),
  isComplete: z.boolean(),
});

export type BarmanFetchState = z.output<typeof stateSchema>;

/** As {@link openBaseState}; a base whose backup.info changed is another one. */
export function openState(baseDir: string, { id, sha256s }: BaseHeader, owner: Owner): Promise<BarmanFetchState> {
  const fresh: BarmanFetchState = {
    api: 1,
    base: id,
    info: sha256s.index,
    written: {},
    done: [],
    links: [],
    files: 0,
    isComplete: false,
  };
  return openBaseState(baseDir, stateSchema, fresh, owner, ({ info }) => info === fresh.info);
}
