/**
 * The programs the lab drives. Looked for in this order: environment variables (a wrong one is an error, never passed over), PATH
 * (PostgreSQL from 17 on, with all the programs that a recovery needs), then pinned wheels installed into the tools directory.
 */
import { execFile } from 'node:child_process';
import { access, constants, mkdir } from 'node:fs/promises';
import { basename, delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { PgrFailure } from '../shared/pgr-failure.js';
import { canUse, type ServerUser } from './server-user.js';
import { installWheel, type InstallOptions, type ToolProgress } from './tool-install.js';
import { requirePlatform, WHEELS, type ToolName } from './tool-wheels.js';

type ToolSource = 'environment' | 'path' | 'installed';
export type Tool = { path: string; version: string; source: ToolSource };
export type LabTools = { postgres: Tool; temporal: Tool; weed: Tool };

export type ToolSearch = {
  toolsDir: string;
  env: NodeJS.ProcessEnv;
  /** Major version of the servers; 18 when left out. With it only exactly this major is taken. */
  postgresMajor?: 17 | 18;
  /** Who runs the servers; what that user cannot execute is not taken from PATH. */
  serverUser: ServerUser | null;
  progress: ToolProgress;
  platform?: string;
  arch?: string;
};

const OLDEST_MAJOR = 17;
/** Server-only packages lack some of these; half an installation is none. */
const POSTGRES_PROGRAMS = [
  'postgres',
  'initdb',
  'pg_ctl',
  'psql',
  'pg_basebackup',
  'pg_combinebackup',
  'pg_verifybackup',
  'pg_controldata',
  'pg_waldump',
  'pg_rewind',
];

const run = promisify(execFile);

/** Finds or installs the programs of the lab; one after another, so that the first missing one is the one reported. */
export async function findTools(search: ToolSearch): Promise<LabTools> {
  const postgres = await findPostgres(search);
  const temporal = await findTemporal(search);
  const weed = await findProgram(search, 'weed', 'PGR_WEED', ['version']);
  return { postgres, temporal, weed };
}

/** Directory of the PostgreSQL programs. */
export async function findPostgres(search: ToolSearch): Promise<Tool> {
  const named = search.env['PGR_POSTGRES_BIN'];
  if (named !== undefined && named !== '') return fromEnvironment(named, search);
  for (const dir of (search.env['PATH'] ?? '').split(delimiter)) {
    const tool = dir === '' ? null : await usablePostgres(dir, search);
    if (tool !== null) return { ...tool, source: 'path' };
  }
  const path = await install(search, search.postgresMajor === 17 ? 'postgres17' : 'postgres18');
  return { path, version: await versionOf(join(path, 'postgres'), ['--version']), source: 'installed' };
}

async function fromEnvironment(dir: string, search: ToolSearch): Promise<Tool> {
  const hint = `point PGR_POSTGRES_BIN at the bin directory of PostgreSQL >= ${OLDEST_MAJOR}, or unset it`;
  const missing = await missingPrograms(dir);
  if (missing.length > 0) {
    throw new PgrFailure('PreconditionFailed', `PGR_POSTGRES_BIN=${dir} has no ${missing.join(', ')}`, { hint });
  }
  const version = await versionOf(join(dir, 'postgres'), ['--version']);
  const major = majorOf(version);
  if (major === null || major < OLDEST_MAJOR) {
    throw new PgrFailure('PreconditionFailed', `PGR_POSTGRES_BIN=${dir} is "${version}"`, { hint });
  }
  if (search.postgresMajor !== undefined && major !== search.postgresMajor) {
    throw new PgrFailure(
      'PreconditionFailed',
      `PGR_POSTGRES_BIN=${dir} is major ${major}, asked was ${search.postgresMajor}`,
      { hint },
    );
  }
  return { path: dir, version, source: 'environment' };
}

async function usablePostgres(dir: string, search: ToolSearch): Promise<Omit<Tool, 'source'> | null> {
  if ((await missingPrograms(dir)).length > 0) return null;
  const postgres = join(dir, 'postgres');
  const version = await versionOf(postgres, ['--version']).catch(() => null);
  const major = version === null ? null : majorOf(version);
  if (version === null || major === null || major < OLDEST_MAJOR) return null;
  if (search.postgresMajor !== undefined && major !== search.postgresMajor) return null;
  if (!(await canUse(postgres, search.serverUser))) return null;
  return { path: dir, version };
}

async function missingPrograms(dir: string): Promise<string[]> {
  const missing: string[] = [];
  for (const name of POSTGRES_PROGRAMS) {
    if (!(await isExecutable(join(dir, name)))) missing.push(name);
  }
  return missing;
}

/** Major version in the output of `postgres --version`; null when there is none (development builds print `18devel`). */
export function majorOf(version: string): number | null {
  const match = /\(PostgreSQL\) (\d+)/.exec(version);
  return match?.[1] === undefined ? null : Number(match[1]);
}

/** The Temporal CLI alone. */
export async function findTemporal(search: ToolSearch): Promise<Tool> {
  return findProgram(search, 'temporal', 'PGR_TEMPORAL', ['--version']);
}

async function findProgram(
  search: ToolSearch,
  name: 'temporal' | 'weed',
  variable: string,
  versionArgs: string[],
): Promise<Tool> {
  const named = search.env[variable];
  if (named !== undefined && named !== '') {
    if (!(await isExecutable(named))) {
      throw new PgrFailure('PreconditionFailed', `${variable}=${named} is not a program`, {
        hint: `point ${variable} at the program \`${name}\`, or unset it`,
      });
    }
    return { path: named, version: await versionOf(named, versionArgs), source: 'environment' };
  }
  for (const dir of (search.env['PATH'] ?? '').split(delimiter)) {
    const path = join(dir, name);
    if (dir === '' || !(await isExecutable(path))) continue;
    const version = await versionOf(path, versionArgs).catch(() => null);
    if (version !== null && isRecent(name, version)) return { path, version, source: 'path' };
  }
  const path = await install(search, name);
  return { path, version: await versionOf(path, versionArgs), source: 'installed' };
}

/** The flags that the lab passes exist from SeaweedFS 4 and Temporal CLI 1 on. */
function isRecent(name: 'temporal' | 'weed', version: string): boolean {
  const number = /(\d+)\.\d+/.exec(version);
  return number?.[1] !== undefined && Number(number[1]) >= (name === 'weed' ? 4 : 1);
}

async function install(search: ToolSearch, name: ToolName): Promise<string> {
  requirePlatform(search.platform ?? process.platform, search.arch ?? process.arch);
  return installTool(name, search);
}

/** Path of a pinned program (a bin directory for PostgreSQL), installed into `toolsDir` when it is not there yet. */
export async function installTool(name: ToolName, options: InstallOptions): Promise<string> {
  await mkdir(options.toolsDir, { recursive: true });
  return installWheel(WHEELS[name], options);
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function versionOf(program: string, args: string[]): Promise<string> {
  try {
    const { stdout } = await run(program, args, { cwd: '/' });
    return stdout.split('\n')[0]?.trim() ?? '';
  } catch (cause) {
    throw new PgrFailure('PreconditionFailed', `${basename(program)} in ${dirname(program)} does not run`, {
      hint: 'its libraries may be missing: run it by hand with --version',
      cause,
    });
  }
}
