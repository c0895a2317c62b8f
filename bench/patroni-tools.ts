/** The programs of the Patroni pair: etcd and HAProxy of the system, Patroni of PyPI in a virtual environment of the benchmark. */
import path from 'node:path';

import type { ServerUser } from '../lab/server-user.js';
import { pathOf, runProgram } from './processes.js';
import { findVenv } from './pypi-venv.js';

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
  const bin = await findVenv({ name: VENV, packages: PACKAGES, program: 'patroni', user, say });
  if (typeof bin !== 'string') return bin;
  const patroni = path.join(bin, 'patroni');
  const version = (await runProgram(patroni, ['--version'])).trim();
  return { etcd, haproxy, patroni, patronictl: path.join(bin, 'patronictl'), version };
}
