/** The programs of the Patroni pair: etcd and HAProxy of the system, Patroni of PyPI in a virtual environment of the benchmark. */
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';

import { canUse, type ServerUser } from '../lab/server-user.js';
import { benchToolsDir } from './flip-lab.js';
import { pathOf, runProgram } from './processes.js';

export type PatroniTools = { etcd: string; haproxy: string; patroni: string; patronictl: string; version: string };

const PACKAGES = ['patroni[etcd3]==4.1.5', 'psycopg[binary]==3.3.9'];
const VENV = 'patroni-4.1.5';

/** The programs, or what has to be installed for them. */
export async function findPatroniTools(
  user: ServerUser | null,
  say: (text: string) => void,
): Promise<PatroniTools | { missing: string }> {
  const etcd = await pathOf('etcd');
  const haproxy = await pathOf('haproxy');
  const lacking = [...(etcd === null ? ['etcd-server'] : []), ...(haproxy === null ? ['haproxy'] : [])];
  if (etcd === null || haproxy === null) return { missing: `Debian: apt-get install ${lacking.join(' ')}` };
  const python = await usablePython(user);
  if (python === null)
    return { missing: 'a python3 that the user of the servers may run (Debian: apt-get install python3 python3-venv)' };
  const bin = path.join(benchToolsDir(), VENV, 'bin');
  const patroni = path.join(bin, 'patroni');
  try {
    const version = await runProgram(patroni, ['--version']).catch(async () => {
      say(`installing ${PACKAGES.join(' and ')} into ${path.dirname(bin)} (once)`);
      await makeVenv(python, path.dirname(bin));
      return runProgram(patroni, ['--version']);
    });
    return { etcd, haproxy, patroni, patronictl: path.join(bin, 'patronictl'), version: version.trim() };
  } catch (error) {
    const said = error instanceof Error ? (error.message.trim().split('\n').at(-1) ?? '') : '';
    return {
      missing: `a virtual environment with Patroni (Debian: apt-get install python3-venv; PyPI is asked once): ${said}`,
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
async function makeVenv(python: string, dir: string): Promise<void> {
  await rm(dir, { recursive: true, force: true });
  await mkdir(path.dirname(dir), { recursive: true });
  try {
    await runProgram(python, ['-m', 'venv', dir]);
    await runProgram(path.join(dir, 'bin', 'pip'), [
      'install',
      '--quiet',
      '--no-input',
      '--disable-pip-version-check',
      ...PACKAGES,
    ]);
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
}
