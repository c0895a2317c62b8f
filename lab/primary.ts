/**
 * Makes the first node: a new cluster, filled and synced beside its final place and then renamed into it. So a data directory is either
 * complete or absent, and one that exists is never made again, whatever a recovery has done to it since.
 */
import { chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { faultPoint } from '../activities/lib/fault-points.js';
import { runProgramOrFail } from '../activities/lib/exec.js';
import { directoryState, giveTo, type Owner } from '../activities/postgres/data-directory.js';
import { startServer, stopServer } from '../activities/postgres/server.js';
import { syncOnlyArgs } from '../activities/postgres/commands.js';
import { initdbArgs, seedServerOptions } from './commands.js';
import { updateState, type LabContext } from './context.js';
import type { NodeName } from './paths.js';
import { moverOf } from './pool.js';
import { chooseFreePort } from './ports.js';
import { pgHbaConf, postgresqlConf } from './postgres-settings.js';
import { readSecret } from './secrets.js';
import { findBySignature, stopProcess } from './process.js';
import { seedShop } from './seed.js';

/** For tests: the process dies here when armed. */
export const FAULT_LAB_SEEDED = 'lab-seeded';

const ORPHAN_GRACE_MS = 5_000;

export type MakeResult = 'made' | 'already-there' | 'gone';

/** Owner of the servers' files. */
export function serverOwner(context: LabContext): Owner {
  const { serverUser } = context.state;
  return serverUser ?? { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
}

/** Directory of a node, owned by the servers' user and closed for others. */
export async function makeNodeDir(context: LabContext, node: NodeName): Promise<void> {
  const dir = context.paths.nodeDir(node);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await giveTo(dir, serverOwner(context));
}

/** What stands in a node's place: made, not made yet, or gone although it was made (a recovery is swapping it). */
export async function madeBefore(context: LabContext, node: NodeName): Promise<MakeResult | null> {
  await moverOf(context, node).settleMoves();
  const there = (await directoryState(context.paths.dataDir(node))) === 'cluster';
  if (there && !context.state.created.includes(node)) {
    await updateState(context, { created: [...context.state.created, node] });
  }
  if (there) return 'already-there';
  return context.state.created.includes(node) ? 'gone' : null;
}

/** The primary with its data; ends with the directory in place and no server running. */
export async function makePrimary(context: LabContext, archiveWords: readonly string[]): Promise<MakeResult> {
  const node = 'dallas';
  const before = await madeBefore(context, node);
  if (before !== null) return before;
  await makeNodeDir(context, node);
  const dataDir = context.paths.newDataDir(node);
  await throwAway(context, node);
  await initialise(context, dataDir);
  await fillCluster(context, dataDir);
  await writeNodeFiles(context, node, dataDir, archiveWords);
  faultPoint(FAULT_LAB_SEEDED);
  await putInPlace(context, node);
  return 'made';
}

/** An empty place for new data. Half-made ones go; whatever an interrupted command left at work on them (initdb, clone, server) is stopped first. */
export async function throwAway(context: LabContext, node: NodeName): Promise<void> {
  const dataDir = context.paths.newDataDir(node);
  const maker = await findBySignature(['--pgdata', dataDir]);
  if (maker !== null) await stopProcess(maker, ORPHAN_GRACE_MS);
  await stopServer({ dataDir, mode: 'immediate', timeoutMs: 30_000 });
  const mover = moverOf(context, node);
  await mover.removeRoom(dataDir);
  await mover.makeRoom(dataDir, serverOwner(context));
}

async function initialise(context: LabContext, dataDir: string): Promise<void> {
  const owner = serverOwner(context);
  const initdb = join(context.state.tools.postgres.path, 'initdb');
  await runProgramOrFail(initdb, initdbArgs(dataDir, context.paths.secret('postgres')), {
    timeoutMs: 120_000,
    ...(context.state.serverUser === null ? {} : { runAs: owner }),
  });
}

async function fillCluster(context: LabContext, dataDir: string): Promise<void> {
  const { paths, state } = context;
  const owner = serverOwner(context);
  const binDir = state.tools.postgres.path;
  const port = await chooseFreePort(new Set(Object.values(state.ports)));
  await writeFile(join(dataDir, 'pg_hba.conf'), pgHbaConf());
  await startServer({ binDir, dataDir, owner, options: seedServerOptions(port), logFile: paths.serverLog('dallas') });
  const [postgres, replicator, shop] = await Promise.all([
    readSecret(paths, 'postgres'),
    readSecret(paths, 'replicator'),
    readSecret(paths, 'shop'),
  ]);
  await seedShop(port, { postgres, replicator, shop });
  await stopServer({ dataDir, mode: 'fast' });
  // The server ran with fsync off.
  await runProgramOrFail(join(binDir, 'initdb'), syncOnlyArgs(dataDir), {
    timeoutMs: 120_000,
    ...(state.serverUser === null ? {} : { runAs: owner }),
  });
}

/** postgresql.conf and pg_hba.conf of a node into a data directory that is being made. */
export async function writeNodeFiles(
  context: LabContext,
  node: NodeName,
  dataDir: string,
  archiveWords: readonly string[],
): Promise<void> {
  const owner = serverOwner(context);
  const files = {
    'postgresql.conf': postgresqlConf({ node, port: context.state.ports[node], archiveCommand: archiveWords }),
    'pg_hba.conf': pgHbaConf(),
  };
  for (const [name, text] of Object.entries(files)) {
    const path = join(dataDir, name);
    await writeFile(path, text, { mode: 0o600, flush: true });
    if (context.state.serverUser !== null) await chown(path, owner.uid, owner.gid);
  }
}

/** Moves the finished directory into its place and remembers that it was made. */
export async function putInPlace(context: LabContext, node: NodeName): Promise<void> {
  await moverOf(context, node).move(context.paths.newDataDir(node), context.paths.dataDir(node));
  await updateState(context, { created: [...context.state.created, node] });
}
