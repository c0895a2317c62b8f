/**
 * The same cluster in a Barman on the machine of the recovery (streaming, WAL compressed with LZ4), and its restore by `barman restore` as its documentation has it:
 * WAL that the target needs is copied and unpacked with the base, and found there by the server.
 */
import { chown, mkdir, readdir, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import path from 'node:path';

import type { ServerUser } from '../lab/server-user.js';
import { measureServer } from './measure-server.js';
import type { Measured } from './measured.js';
import { runProgram } from './processes.js';
import { findVenv } from './pypi-venv.js';
import { until, type Bench, type OtherStores, type Place } from './setup.js';

export type BarmanTools = { bin: string };

/** Name of the store in the config. */
export const BARMAN_STORE = 'barman';

const VERSION = '3.19.1';
const PACKAGES = [`barman==${VERSION}`, 'psycopg2-binary==2.9.13', 'lz4==4.4.5'];
const SERVER = 'bench';

/** Its program, or what has to be installed for it. */
export async function findBarman(
  user: ServerUser | null,
  say: (text: string) => void,
): Promise<BarmanTools | { missing: string }> {
  const request = { name: `barman-${VERSION}`, packages: PACKAGES, program: 'barman', user, say };
  const bin = await findVenv(request);
  return typeof bin === 'string' ? { bin } : bin;
}

/** The store for `setUp`: Barman receives from before its base on. */
export function barmanStore({ bin }: BarmanTools): OtherStores {
  return {
    config: ({ dir }) => ({
      [BARMAN_STORE]: { kind: 'barman', server: SERVER, command: commandIn(bin, dir) },
    }),
    takeBases: async (place) => {
      await configure(place);
      const barman = barmanOf(bin, place);
      await barman('receive-wal', '--create-slot', SERVER);
      await barman('cron');
      // A receiver with a new slot begins in the segment that is current when it connects.
      await until('the receiver of barman', 60_000, async () => {
        const names = await readdir(path.join(place.dir, 'barman', SERVER, 'streaming'));
        if (!names.some((name) => name.endsWith('.partial'))) throw new Error('nothing received yet');
      });
      await barman('switch-wal', '--force', '--archive', '--archive-timeout', '60', SERVER);
      await barman('backup', '--wait', '--wait-timeout', '120', SERVER);
    },
    // It receives by itself.
    archive: () => Promise.resolve(),
  };
}

/** Returns once Barman has all WAL that recovery needs; its receiver is ended then. */
export async function archiveToBarman({ bin }: BarmanTools, bench: Bench): Promise<void> {
  const barman = barmanOf(bin, bench);
  await until('barman', 120_000, async () => {
    await barman('archive-wal', SERVER);
    await barman('get-wal', SERVER, bench.wal.last, '--peek', '1');
  });
  await barman('receive-wal', '--stop', SERVER);
}

/** Measures `barman restore` and what follows once. */
export async function measureBarman({ bin }: BarmanTools, bench: Bench): Promise<Measured> {
  const { user, binDir } = bench;
  const dir = path.join(bench.dir, 'by-barman');
  const dataDir = path.join(dir, 'data');
  await mkdir(dir, { mode: 0o755 });
  if (user !== null) await chown(dir, user.uid, user.gid);
  const started = performance.now();
  const target = ['--target-time', bench.target.time, '--target-action', 'pause', '--jobs', '2'];
  await barmanOf(bin, bench)('restore', ...target, SERVER, 'latest', dataDir);
  return measureServer({ binDir, user, dir, dataDir, settings: [], started });
}

function commandIn(bin: string, dir: string): string[] {
  return [path.join(bin, 'barman'), '-c', path.join(dir, 'barman.conf')];
}

function barmanOf(bin: string, { dir, user }: Pick<Place, 'dir' | 'user'>): (...args: string[]) => Promise<string> {
  const [program = '', ...fixed] = commandIn(bin, dir);
  return (...args) => runProgram(program, [...fixed, ...args], { user, env: { PYTHONDONTWRITEBYTECODE: '1' } });
}

async function configure({ dir, binDir, primaryPort, user }: Place): Promise<void> {
  const home = path.join(dir, 'barman');
  await mkdir(home, { mode: 0o755 });
  if (user !== null) await chown(home, user.uid, user.gid);
  const address = `host=127.0.0.1 port=${String(primaryPort)} user=postgres`;
  const lines = [
    '[barman]',
    `barman_user = ${user?.name ?? userInfo().username}`,
    `barman_home = ${home}`,
    `barman_lock_directory = ${home}`,
    `log_file = ${path.join(home, 'barman.log')}`,
    `[${SERVER}]`,
    'description = bench',
    `conninfo = ${address} dbname=postgres`,
    `streaming_conninfo = ${address}`,
    'backup_method = postgres',
    'immediate_checkpoint = true',
    'streaming_archiver = on',
    'slot_name = barman',
    'compression = lz4',
    `path_prefix = ${binDir}`,
  ];
  await writeFile(path.join(dir, 'barman.conf'), `${lines.join('\n')}\n`, { mode: 0o644 });
}
