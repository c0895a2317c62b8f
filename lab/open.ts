/** Begins a command on a lab: finds or makes its directory, takes its lock, reads its state. */
import { access, chmod, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { PgrFailure } from '../shared/pgr-failure.js';
import type { LabContext } from './context.js';
import { availableExtras, EXTRAS, whyMissing, type Extra } from './extras.js';
import { takeLock, type LabLock } from './lock.js';
import { findLocation, makeLocation, type LabLocation } from './location.js';
import { labPaths, type LabPaths } from './paths.js';
import { choosePorts } from './ports.js';
import type { LabProgress } from './progress.js';
import type { ServerUser } from './server-user.js';
import { hasMarker, readState, writeMarker, type LabState } from './state.js';
import { findTools, type LabTools } from './tools.js';

export type LabOptions = {
  /** As the user named it. */
  dir: string;
  progress: LabProgress;
  /** Directory of the built programs (`dist/`). */
  distDir: string;
  /** The node program that runs ours. */
  node: string;
  env: Readonly<Record<string, string | undefined>>;
  postgresMajor?: 17 | 18;
  /** What is asked for beyond the two nodes; a lab that has it keeps it. */
  with?: readonly Extra[];
};

/** A second command waits as long as a first bring-up with slow downloads may take. */
const LOCK_TIMEOUT_MS = 15 * 60_000;

/** Takes the lock of a lab, runs `work`, releases it whatever happens. */
export async function withLabLock<T>(paths: LabPaths, progress: LabProgress, work: () => Promise<T>): Promise<T> {
  const lock: LabLock = await takeLock({
    dir: paths.lockDir,
    timeoutMs: LOCK_TIMEOUT_MS,
    onWait: (holder) => {
      progress.note(`another pgr lab command is at work (pid ${holder.pid}), waiting for it`);
    },
  });
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

/** Makes the directory and marks it. Refuses one with files in it that are not a lab's. */
export async function makeLab(
  options: LabOptions,
  serverUser: ServerUser | null,
): Promise<{ location: LabLocation; paths: LabPaths }> {
  const location = await makeLocation(options.dir, serverUser, options.progress.note);
  const paths = labPaths(location.realDir);
  if (!(await hasMarker(paths))) {
    // Two first bring-ups at once: the other one's lock directory may stand there already.
    const foreign = (await readdir(paths.dir)).filter((name) => name !== 'lock' && !name.startsWith('.pgr-lab'));
    if (foreign.length > 0) {
      throw new PgrFailure(
        'PreconditionFailed',
        `${location.shownDir} is no lab and not empty (${foreign.slice(0, 3).join(', ')})`,
        {
          hint: 'nothing was touched; name an empty or a new directory with --dir',
        },
      );
    }
    await writeMarker(paths);
  }
  for (const dir of [paths.logsDir, paths.temporalDir, paths.recordDir, paths.stateDir, paths.nodesDir]) {
    await mkdir(dir, { recursive: true });
  }
  // Whatever the umask is: the servers' user passes through these.
  for (const dir of [paths.dir, paths.nodesDir]) await chmod(dir, 0o755);
  return { location, paths };
}

/** The lab at `dir`. Throws NotFound when there is none. */
export async function openLab(
  dir: string,
): Promise<{ location: LabLocation; paths: LabPaths; state: LabState | null }> {
  const location = await findLocation(dir);
  const paths = location === null ? null : labPaths(location.realDir);
  if (location === null || paths === null || !(await hasMarker(paths))) {
    throw new PgrFailure('NotFound', `there is no lab in ${dir}`, { hint: 'run `pgr lab up`', next: ['pgr lab up'] });
  }
  return { location, paths, state: await readState(paths) };
}

/** State of the lab, made on the first bring-up; programs that have gone since are looked for again. */
export async function prepareState(
  options: LabOptions,
  paths: LabPaths,
  shownDir: string,
  serverUser: ServerUser | null,
): Promise<LabState> {
  const existing = await readState(paths);
  const tools =
    existing !== null && (await toolsAreThere(existing.tools))
      ? existing.tools
      : await search(options, paths, serverUser, existing);
  const wanted = EXTRAS.filter(
    (extra) => options.with?.includes(extra) === true || existing?.extras?.includes(extra) === true,
  );
  const extras = await availableExtras(
    withProxy(fitting(wanted, existing, options.progress.note)),
    options.progress.note,
  );
  if (existing?.extras?.includes('zfs') === true && existing.created.length > 0 && !extras.includes('zfs')) {
    throw new PgrFailure(
      'PreconditionFailed',
      `the data of this lab are in a ZFS pool: ${(await whyMissing('zfs')) ?? ''}`,
      {
        hint: 'nothing was touched; run this as root where ZFS is, or `pgr lab destroy`',
      },
    );
  }
  const ports = await choosePorts(existing?.ports);
  if (existing !== null) return { ...existing, ports, tools, shownDir, extras };
  return { api: 1, shownDir, ports, tools, serverUser, processes: {}, created: [], bases: {}, extras };
}

/** Data directories that are there stay what they are. */
function fitting(wanted: readonly Extra[], existing: LabState | null, note: (text: string) => void): Extra[] {
  const plain = existing !== null && existing.created.length > 0 && existing.extras?.includes('zfs') !== true;
  if (!plain || !wanted.includes('zfs')) return [...wanted];
  note('the data directories of this lab were made without zfs and stay as they are; `pgr lab destroy` and up again');
  return wanted.filter((extra) => extra !== 'zfs');
}

/** The pooler of a lab stands in front of its proxy. */
function withProxy(wanted: readonly Extra[]): Extra[] {
  return EXTRAS.filter((extra) => wanted.includes(extra) || (extra === 'haproxy' && wanted.includes('pgbouncer')));
}

async function search(
  options: LabOptions,
  paths: LabPaths,
  serverUser: ServerUser | null,
  existing: LabState | null,
): Promise<LabTools> {
  // Data directories that exist decide the major version.
  const major = existing === null ? options.postgresMajor : majorOfLab(existing);
  return findTools({
    toolsDir: options.env['PGR_TOOLS_DIR'] ?? paths.toolsDir,
    env: { ...options.env },
    ...(major === undefined ? {} : { postgresMajor: major }),
    serverUser,
    progress: options.progress.note,
  });
}

function majorOfLab(state: LabState): 17 | 18 | undefined {
  const major = Number(/\(PostgreSQL\) (\d+)/.exec(state.tools.postgres.version)?.[1]);
  return major === 17 || major === 18 ? major : undefined;
}

async function toolsAreThere(tools: LabTools): Promise<boolean> {
  const paths = [join(tools.postgres.path, 'postgres'), tools.temporal.path, tools.weed.path];
  const found = await Promise.all(
    paths.map((path) =>
      access(path).then(
        () => true,
        () => false,
      ),
    ),
  );
  return found.every(Boolean);
}

/** Everything that the stages need. */
export function contextOf(options: LabOptions, paths: LabPaths, state: LabState): LabContext {
  const { progress, distDir, node } = options;
  return { paths, state, progress, distDir, node, writes: Promise.resolve() };
}
