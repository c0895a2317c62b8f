/** Starts the servers of the lab as their data directories say: a standby.signal makes a standby, whatever the node was at first. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { directoryState } from '../activities/postgres/data-directory.js';
import { readPostmaster } from '../activities/postgres/postmaster.js';
import { startServer } from '../activities/postgres/server.js';
import type { LabContext } from './context.js';
import type { NodeName } from './paths.js';
import { withPort, withPrimaryPort } from './postgres-settings.js';
import { serverOwner } from './primary.js';

export type NodeStart = { outcome: 'started' | 'already-running' | 'no-data'; pid: number | null };

/** Starts one node; a node whose data directory a recovery has moved away is reported, not made again. */
export async function startNode(context: LabContext, node: NodeName): Promise<NodeStart> {
  const { paths, state } = context;
  const dataDir = paths.dataDir(node);
  if ((await directoryState(dataDir)) !== 'cluster') return { outcome: 'no-data', pid: null };
  await writePorts(context, node);
  const { outcome, server } = await startServer({
    binDir: state.tools.postgres.path,
    dataDir,
    owner: serverOwner(context),
    logFile: paths.serverLog(node),
  });
  return { outcome, pid: server.pid };
}

/** A port that had to change is written where the server reads it. A running server keeps what it has. */
async function writePorts(context: LabContext, node: NodeName): Promise<void> {
  const { paths, state } = context;
  const dataDir = paths.dataDir(node);
  if ((await readPostmaster(dataDir)).state === 'running') return;
  const other: NodeName = node === 'dallas' ? 'chicago' : 'dallas';
  await rewrite(join(dataDir, 'postgresql.conf'), (text) => withPort(text, state.ports[node]));
  await rewrite(join(dataDir, 'postgresql.auto.conf'), (text) => withPrimaryPort(text, state.ports[other]));
}

/** In place: the file keeps its owner and mode. The server is not running, so nobody reads half of it. */
async function rewrite(path: string, change: (text: string) => string): Promise<void> {
  const text = await readFile(path, 'utf8');
  const changed = change(text);
  if (changed !== text) await writeFile(path, changed, { flush: true });
}
