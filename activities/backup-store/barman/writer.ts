/** Whose the files of a restore are while Barman writes them, and how its user gets to where they belong. */
import { chmodSync, chownSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

import { stepFailure } from '../../lib/failure.js';
import type { Owner } from '../chunk-files.js';
import type { BarmanPlaces } from './places.js';

/** Who writes the files: the user of Barman on this machine, over ssh the user of the destination. Null when we cannot give files away anyway. */
export async function writerOf({ barman, directories }: BarmanPlaces, owner: Owner): Promise<Owner> {
  if (process.getuid?.() !== 0) return null;
  if (barman.config.remote !== undefined) return owner;
  const { uid, gid } = statSync((await directories()).backup_directory);
  return { uid, gid };
}

/** An empty directory for the writer. */
export function makeFor(dir: string, writer: Owner): void {
  mkdirSync(dir, { mode: 0o700 });
  if (writer !== null) chownSync(dir, writer.uid, writer.gid);
}

/**
 * Lets the user of Barman through the directory of the sandbox (not into it) while it writes; returns how that is ended. Throws NotAllowed when a directory above
 * is closed to that user: Barman would only say that it cannot make a directory.
 */
export function openFor(sandboxDir: string, writer: Owner, owner: Owner): () => void {
  if (writer === null || writer.uid === owner?.uid) return () => undefined;
  const closed = closedAbove(sandboxDir, writer);
  if (closed !== null) {
    throw stepFailure('NotAllowed', `the user of barman (uid ${String(writer.uid)}) may not enter ${closed}`, {
      hint: `\`chmod o+x ${closed}\`, or set sandbox.dir elsewhere, or backups.remote so that barman comes as the user of the server; then \`pgr retry\``,
    });
  }
  chmodSync(sandboxDir, 0o711);
  return () => {
    chmodSync(sandboxDir, 0o700);
  };
}

/** The highest directory above `dir` that the user may not pass, null when there is none. */
function closedAbove(dir: string, { uid, gid }: { uid: number; gid: number }): string | null {
  const parents: string[] = [];
  for (let at = dirname(dir); at !== dirname(at); at = dirname(at)) parents.unshift(at);
  return (
    parents.find((at) => {
      const facts = statSync(at);
      const shift = facts.uid === uid ? 6 : facts.gid === gid ? 3 : 0;
      return ((facts.mode >> shift) & 0o1) === 0;
    }) ?? null
  );
}
