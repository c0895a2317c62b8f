/** The second half of every recovery by other programs: the data directory is complete, now the server replays to the target. */
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { ServerUser } from '../lab/server-user.js';
import { proveTarget, seconds, untilPaused, type Measured } from './measured.js';
import { ended, freePorts, startProgram } from './processes.js';
import { SHARED_BUFFERS } from './setup.js';

type Restored = {
  binDir: string;
  user: ServerUser | null;
  env?: Record<string, string>;
  /** Of this recovery; removed at the end. */
  dir: string;
  dataDir: string;
  /** Lines for postgresql.auto.conf besides those that every way has. */
  settings: readonly string[];
  /** `performance.now()` of its beginning. */
  started: number;
};

/** Starts the server, waits until it is paused at the target and readable, proves what it shows, and takes everything away. */
export async function measureServer(restored: Restored): Promise<Measured> {
  const { binDir, user, env = {}, dir, dataDir, settings, started } = restored;
  const log = path.join(dir, 'server.log');
  const [port = 0] = await freePorts(1);
  const lines = [
    `port = ${String(port)}`,
    "unix_socket_directories = ''",
    'archive_mode = off',
    `shared_buffers = ${SHARED_BUFFERS}`,
    ...settings,
  ];
  await writeFile(path.join(dataDir, 'postgresql.auto.conf'), `${lines.join('\n')}\n`, { flag: 'a' });
  await writeFile(path.join(dataDir, 'recovery.signal'), '');
  const restoreSeconds = seconds(started);
  const server = startProgram(path.join(binDir, 'postgres'), ['-D', dataDir], log, { env, user });
  try {
    await untilPaused(port, server, log);
    const totalSeconds = seconds(started);
    await proveTarget(port);
    const replaySeconds = totalSeconds - restoreSeconds;
    return { restoreSeconds, replaySeconds, totalSeconds, bytes: Number.NaN, peakMemoryBytes: null };
  } finally {
    server.kill('SIGQUIT');
    await ended(server);
    await rm(dir, { recursive: true, force: true });
  }
}
