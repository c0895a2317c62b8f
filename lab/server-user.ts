/** PostgreSQL refuses to run as root: as root the lab's servers run as `postgres` when that user exists, else as `nobody`. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { PgrFailure } from '../shared/pgr-failure.js';

export type ServerUser = { name: string; uid: number; gid: number };

const run = promisify(execFile);

async function lookUp(name: string): Promise<ServerUser | null> {
  const read = async (flag: string): Promise<number> => Number((await run('id', [flag, name])).stdout.trim());
  try {
    return { name, uid: await read('-u'), gid: await read('-g') };
  } catch {
    return null; // `id` knows no such user
  }
}

/** User of the lab's servers; null when this process is not root and they run as ourselves. */
export async function findServerUser(): Promise<ServerUser | null> {
  if (process.getuid?.() !== 0) return null;
  const user = (await lookUp('postgres')) ?? (await lookUp('nobody'));
  if (user === null) {
    throw new PgrFailure(
      'PreconditionFailed',
      'postgresql does not run as root, and there is no user postgres or nobody',
      {
        hint: 'create a user `postgres`, or run this as a user other than root',
      },
    );
  }
  return user;
}

/** True when `user` (null: ourselves) may read and execute (a directory: enter) `path`; the kernel itself is asked. */
export async function canUse(path: string, user: ServerUser | null): Promise<boolean> {
  const options = user === null ? {} : { uid: user.uid, gid: user.gid, cwd: '/' };
  try {
    await run('test', ['-r', path, '-a', '-x', path], options);
    return true;
  } catch {
    return false;
  }
}
