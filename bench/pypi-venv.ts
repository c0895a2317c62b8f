/** Programs of PyPI in virtual environments of the benchmarks, made once. */
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';

import { canUse, type ServerUser } from '../lab/server-user.js';
import { benchToolsDir } from './flip-lab.js';
import { pathOf, runProgram } from './processes.js';

export type VenvRequest = {
  /** Directory below the benchmarks' tools; has the version in it. */
  name: string;
  packages: readonly string[];
  /** One of its programs, which is asked for its version. */
  program: string;
  /** Who has to be able to run them. */
  user: ServerUser | null;
  say: (text: string) => void;
};

/** Directory of the programs, or what has to be installed for them. */
export async function findVenv({
  name,
  packages,
  program,
  user,
  say,
}: VenvRequest): Promise<string | { missing: string }> {
  const python = await usablePython(user);
  if (python === null)
    return { missing: 'a python3 that the user of the servers may run (Debian: apt-get install python3 python3-venv)' };
  const bin = path.join(benchToolsDir(), name, 'bin');
  const ask = (): Promise<string> => runProgram(path.join(bin, program), ['--version']);
  try {
    await ask().catch(async () => {
      say(`installing ${packages.join(' and ')} into ${path.dirname(bin)} (once)`);
      await makeVenv(python, path.dirname(bin), packages);
      return ask();
    });
    return bin;
  } catch (error) {
    const said = error instanceof Error ? (error.message.trim().split('\n').at(-1) ?? '') : '';
    return {
      missing: `a virtual environment with ${packages[0] ?? name} (Debian: apt-get install python3-venv; PyPI is asked once): ${said}`,
    };
  }
}

/** A virtual environment runs the interpreter that it was made with, and one below somebody's home directory is closed for others. */
async function usablePython(user: ServerUser | null): Promise<string | null> {
  const found = await pathOf('python3');
  for (const candidate of ['/usr/bin/python3', ...(found === null ? [] : [found])]) {
    if (!(await canUse(candidate, user))) continue;
    const ends = await runProgram(candidate, ['-c', 'import venv, ensurepip'], { user }).catch(() => null);
    if (ends !== null) return candidate;
  }
  return null;
}

/** Half an environment is removed again; its paths are written into its programs, so it cannot be made elsewhere and renamed. */
async function makeVenv(python: string, dir: string, packages: readonly string[]): Promise<void> {
  await rm(dir, { recursive: true, force: true });
  await mkdir(path.dirname(dir), { recursive: true });
  try {
    await runProgram(python, ['-m', 'venv', dir]);
    await runProgram(path.join(dir, 'bin', 'pip'), [
      'install',
      '--quiet',
      '--no-input',
      '--disable-pip-version-check',
      ...packages,
    ]);
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
}
