/** Places of whole data directories, and moves between them by plain rename. Providers `directory` and `btrfs` move like this. */
import { chmod, chown, lstat, mkdir, rm, rmdir, stat } from 'node:fs/promises';
import path from 'node:path';

import { runProgramOrFail, type RunAs } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import type { DataMover } from '../lib/snapshot.js';
import { whileHeartbeating } from '../lib/heartbeat-while.js';
import { asConfigured } from './commands.js';
import type { DataControl } from './data-control.js';
import { renameProblems } from './place-checks.js';

/** Moves by rename(2), as everything but ZFS does: one call, so there is never a half of one to settle. */
export function createRenamer(dataDir: string, control: DataControl): DataMover {
  return {
    moveProblems: () => renameProblems(dataDir),
    describeMove: (from, to) => `move ${from} to ${to}`,
    settleMoves: () => Promise.resolve(),
    move: (from, to) => renameOver(control, from, to),
    isMovable: (dir) => sharesFileSystem(dir, path.dirname(dataDir)),
    async makeRoom(place, owner) {
      requireRoom(dataDir, place);
      await mkdir(place, { recursive: true, mode: 0o700 });
      await giveRoom(place, owner);
    },
    async removeRoom(place) {
      requireRoom(dataDir, place);
      await control.requireStopped(place);
      await whileHeartbeating(() => rm(place, { recursive: true, force: true, maxRetries: 3 }));
    },
  };
}

/** Renames durably; an empty directory in the way goes. */
async function renameOver(control: DataControl, from: string, to: string): Promise<void> {
  if ((await control.directoryState(to)) === 'empty') await rmdir(to);
  await control.renameDurably(from, to);
}

/** The server user's, and closed for others. What `sudo` made belongs to root, and then we may not give it away ourselves. */
export async function giveRoom(place: string, owner: RunAs, sudo = false): Promise<void> {
  if (process.getuid?.() === 0) await chown(place, owner.uid, owner.gid);
  else if (sudo && (await stat(place)).uid !== owner.uid) {
    const [program, argv] = asConfigured('chown', [`${String(owner.uid)}:${String(owner.gid)}`, place], true);
    await runProgramOrFail(program, argv);
  }
  await chmod(place, 0o700);
}

/** What may be made and removed is what a run is making: never production's data, and never kept ones. */
export function requireRoom(dataDir: string, place: string): void {
  if (place.startsWith(`${dataDir}.new-`) && !place.slice(dataDir.length + 1).includes('/')) return;
  throw stepFailure('Bug', `${place} is no place for data that are being made`);
}

async function sharesFileSystem(dir: string, parent: string): Promise<boolean> {
  const [facts, around] = await Promise.all([lstat(dir), stat(parent)]);
  return facts.isDirectory() && facts.dev === around.dev;
}
