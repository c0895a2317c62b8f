/** What the restore of a dump keeps in its sandbox, besides what every sandbox has. Pure. */
import path from 'node:path';

import type { SandboxPlace } from '../sandbox/place.js';

export type DumpPlace = {
  /** Where initdb works; renamed to the data directory when it is done. */
  newDataDir: string;
  /** What the job is to do. */
  spec: string;
  /** The completion mark: written last, by the job. Without it the database counts as half. */
  restored: string;
  /** A server that is dumped meanwhile. */
  dumpDir: string;
};

export function dumpPlaceOf(place: SandboxPlace): DumpPlace {
  const inside = (name: string): string => path.join(place.dir, name);
  return {
    newDataDir: inside('data-new'),
    spec: inside('restore.json'),
    restored: inside('restored.json'),
    dumpDir: inside('dump'),
  };
}
