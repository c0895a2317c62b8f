/** A restored backup as it was taken: what Barman wrote into it for a start by hand is taken out again. */
import { existsSync, lchownSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Files that Barman changes; the original stays beside each as `<name>.origin`. */
const CHANGED = ['postgresql.conf', 'postgresql.auto.conf'];

/** What Barman adds. A signal file would decide how the server starts, and that is the sandbox's to say. */
const ADDED = ['.barman-recover.info', 'recovery.signal', 'standby.signal', 'barman_wal'];

/**
 * Names of a manifest that do not come out as they went in: what a cluster that came out of Barman once has, and Barman writes over; and the map of tablespaces,
 * which Barman takes out of a compressed backup (one that has any is not restored from here).
 */
export const NOT_COMPARED = [...CHANGED.map((name) => `${name}.origin`), '.barman-recover.info', 'tablespace_map'];

/** Puts the originals back. Right when run again. */
export function tidyRestored(dir: string, id: string): void {
  for (const name of CHANGED) {
    const origin = join(dir, `${name}.origin`);
    if (existsSync(origin)) renameSync(origin, join(dir, name));
  }
  for (const name of ADDED) rmSync(join(dir, name), { recursive: true, force: true });
  const manifest = join(dir, `backup_manifest.${id}`);
  if (existsSync(manifest)) renameSync(manifest, join(dir, 'backup_manifest'));
}

/** Number of files below `dir`; with `owner` all of it is given to that user. */
export function walkRestored(dir: string, owner: { uid: number; gid: number } | null): number {
  let files = 0;
  const visit = (at: string): void => {
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      const child = join(at, entry.name);
      if (owner !== null) lchownSync(child, owner.uid, owner.gid);
      if (entry.isDirectory()) visit(child);
      else files += 1;
    }
  };
  if (owner !== null) lchownSync(dir, owner.uid, owner.gid);
  visit(dir);
  return files;
}
