/** What `docker inspect` says, and which containers hold a data directory. Pure but for {@link canonicalPath}. */
import { realpath } from 'node:fs/promises';
import path from 'node:path';

export type Mount = { source: string; destination: string; writable: boolean };

export type Container = {
  id: string;
  name: string;
  image: string;
  /** The image itself: its name may mean another one by now. */
  imageId: string;
  labels: Record<string, string>;
  env: string[];
  network: string;
  /** Its server program, as its command names it. */
  serverProgram: string;
  /** Arguments of its server, without the data directory. */
  serverArgs: string[];
  /** created, running, paused, restarting, removing, exited or dead. */
  status: string;
  exitCode: number;
  /** What the engine says when it could not start it. */
  error: string;
  finishedAt: string;
  restartPolicy: string;
  restarts: number;
  mounts: Mount[];
  /** PGDATA in its environment. */
  pgData: string | null;
  looksLikePostgres: boolean;
};

const SERVER_PROGRAM = /(^|\/)(postgres|postmaster)$/;

/** What the engine always fills in; the rest is optional. */
type Inspected = {
  Id: string;
  Name: string;
  Image?: string;
  RestartCount?: number;
  Path?: string;
  Args?: string[] | null;
  State?: { Status?: string; ExitCode?: number; Error?: string; FinishedAt?: string };
  HostConfig?: { RestartPolicy?: { Name?: string }; NetworkMode?: string };
  Mounts?: { Source?: string; Destination?: string; RW?: boolean }[] | null;
  Config: { Image: string; Env?: string[] | null; Labels?: Record<string, string> | null };
};

/** Containers of the output of `docker inspect`; throws when it is no such thing. */
export function parseInspect(output: string): Container[] {
  return (JSON.parse(output) as Inspected[]).map(readContainer);
}

function readContainer(seen: Inspected): Container {
  const pgData = readPgData(seen.Config.Env);
  const words = [seen.Path ?? '', ...(seen.Args ?? [])];
  return {
    id: seen.Id,
    name: seen.Name.replace(/^\//, ''),
    image: seen.Config.Image,
    imageId: seen.Image ?? seen.Config.Image,
    labels: seen.Config.Labels ?? {},
    env: seen.Config.Env ?? [],
    serverProgram: words.findLast((word) => SERVER_PROGRAM.test(word)) ?? 'postgres',
    serverArgs: serverArgsOf(words),
    ...readState(seen.State),
    ...readHostConfig(seen.HostConfig),
    restarts: seen.RestartCount ?? 0,
    mounts: readMounts(seen.Mounts),
    pgData,
    looksLikePostgres: pgData !== null || runsPostgres(seen.Config.Image, words),
  };
}

function readPgData(env: string[] | null = []): string | null {
  return env?.find((line) => line.startsWith('PGDATA='))?.slice('PGDATA='.length) ?? null;
}

function readState(state: Inspected['State'] = {}): Pick<Container, 'status' | 'exitCode' | 'error' | 'finishedAt'> {
  const { Status = 'unknown', ExitCode = -1, Error = '', FinishedAt = '' } = state;
  return { status: Status, exitCode: ExitCode, error: Error, finishedAt: FinishedAt };
}

function readHostConfig(config: Inspected['HostConfig'] = {}): Pick<Container, 'network' | 'restartPolicy'> {
  return { network: config.NetworkMode ?? 'default', restartPolicy: config.RestartPolicy?.Name ?? '' };
}

function readMounts(mounts: Inspected['Mounts']): Mount[] {
  return (mounts ?? []).map(({ Source = '', Destination = '', RW }) => ({
    source: Source,
    destination: Destination,
    writable: RW !== false,
  }));
}

function runsPostgres(image: string, words: readonly string[]): boolean {
  return /postgres/.test(image) || words.some((word) => /(^|[/\s])(postgres|postmaster|patroni)(\s|$)/.test(word));
}

/**
 * What follows the server program (`postgres -c config_file=…`), or the options that the entrypoint of the official images gives to it; without `-D`,
 * which says where the data are and not what is in force.
 */
function serverArgsOf(words: readonly string[]): string[] {
  const program = words.findLastIndex((word) => SERVER_PROGRAM.test(word));
  const first = program >= 0 ? program + 1 : words.findIndex((word) => word.startsWith('-'));
  const args = first < 0 ? [] : words.slice(first);
  return args.filter((word, index) => !/^-D/.test(word) && args[index - 1] !== '-D');
}

/** True when nothing of it runs; with a restart policy it may run again. */
export function isDown({ status }: Pick<Container, 'status'>): boolean {
  return status === 'exited' || status === 'created' || status === 'dead';
}

/** Where a directory of the container lies on the host; null when no mount covers it (it is in the container's own layer). */
export function hostPathOf(container: Pick<Container, 'mounts'>, inner: string): string | null {
  const wanted = path.posix.normalize(inner);
  const [mount] = container.mounts
    .filter(({ destination }) => isInside(wanted, destination))
    .sort((a, b) => b.destination.length - a.destination.length);
  return mount === undefined ? null : path.posix.join(mount.source, path.posix.relative(mount.destination, wanted));
}

/**
 * Containers that could run a server on `dataDir` (both canonical): their PGDATA is that directory, or they are PostgreSQL without saying where their
 * data are, and may write there. A backup agent that only mounts the files is none.
 */
export async function holdersOf(containers: readonly Container[], dataDir: string): Promise<Container[]> {
  const holds = await Promise.all(
    containers.map(async (container) => {
      if (!container.looksLikePostgres) return false;
      if (container.pgData !== null) {
        const held = hostPathOf(container, container.pgData);
        return held !== null && (await canonicalPath(held)) === dataDir;
      }
      const sources = await Promise.all(
        container.mounts.filter(({ writable }) => writable).map(({ source }) => canonicalPath(source)),
      );
      return sources.some((source) => isInside(dataDir, source));
    }),
  );
  return containers.filter((_, index) => holds[index] === true);
}

/** The path without symbolic links, also where its last parts do not exist (yet, or any more: data that were renamed aside). */
export async function canonicalPath(file: string): Promise<string> {
  const whole = path.resolve(file);
  const real = await realpath(whole).catch(() => null);
  if (real !== null) return real;
  const parent = path.dirname(whole);
  return parent === whole ? whole : path.join(await canonicalPath(parent), path.basename(whole));
}

export function isInside(inner: string, outer: string): boolean {
  const relative = path.posix.relative(outer, inner);
  return relative === '' || (relative !== '..' && !relative.startsWith('../') && !relative.startsWith('/'));
}
