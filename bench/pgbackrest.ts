/**
 * The same cluster in a stanza of pgBackRest on the machine of the recovery (LZ4), and its restore by pgBackRest: two processes, and an asynchronous archive-get
 * with two processes, which fetches ahead of the server.
 */
import { chown, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { benchToolsDir } from './flip-lab.js';
import { measureServer } from './measure-server.js';
import type { Measured } from './measured.js';
import { pathOf, runProgram } from './processes.js';
import type { Bench, OtherStores, Place } from './setup.js';

export type PgbackrestTools = { program: string };

/** Name of the store in the config. */
export const PGBACKREST_STORE = 'pgbackrest';

/** The first release of Debian whose pgBackRest knows the benchmark's PostgreSQL. */
const RELEASE = 'forky';
const STANZA = 'bench';
const PROCESSES = '2';

/** The program, or what has to be installed for it. */
export async function findPgbackrest(say: (text: string) => void): Promise<PgbackrestTools | { missing: string }> {
  if ((await pathOf('apt-get')) === null) return { missing: 'apt-get, by which pgBackRest is fetched' };
  const dir = path.join(benchToolsDir(), `pgbackrest-${RELEASE}`);
  const program = path.join(dir, 'pgbackrest');
  const ask = (): Promise<string> => runProgram(program, ['version']);
  try {
    await ask().catch(async () => {
      say(`installing pgBackRest of Debian ${RELEASE} into ${dir} (once)`);
      await runProgram('sh', [path.resolve('scripts', 'install-pgbackrest.sh'), RELEASE, dir], {
        env: { HTTP_PROXY: process.env['HTTP_PROXY'] ?? '', http_proxy: process.env['http_proxy'] ?? '' },
      });
      return ask();
    });
    return { program };
  } catch (error) {
    return { missing: `pgBackRest of Debian ${RELEASE}: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** The store for `setUp`. */
export function pgbackrestStore({ program }: PgbackrestTools): OtherStores {
  return {
    config: ({ dir }) => ({
      [PGBACKREST_STORE]: { kind: 'pgbackrest', stanza: STANZA, command: commandIn(program, dir) },
    }),
    takeBases: async (place) => {
      await configure(place);
      const pgbackrest = pgbackrestOf(program, place);
      await pgbackrest('stanza-create', '--no-online');
      await pgbackrest('backup', '--type=full', '--no-archive-check');
      // It tells the end of a base in whole seconds, and takes none that ended in the second of the target.
      await sleep(1_100);
    },
    archive: async (place, segment) => {
      await pgbackrestOf(program, place)('archive-push', '--no-archive-async', segment);
    },
  };
}

/** Measures `pgbackrest restore` and what follows once. */
export async function measurePgbackrest({ program }: PgbackrestTools, bench: Bench): Promise<Measured> {
  const { user, binDir } = bench;
  const dir = path.join(bench.dir, 'by-pgbackrest');
  const dataDir = path.join(dir, 'data');
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  if (user !== null) await runProgram('chown', ['-R', `${String(user.uid)}:${String(user.gid)}`, dir]);
  const started = performance.now();
  const target = ['--type=time', `--target=${bench.target.time}`, '--target-action=pause'];
  await pgbackrestOf(program, bench)('restore', `--pg1-path=${dataDir}`, ...target);
  return measureServer({ binDir, user, dir, dataDir, settings: [], started });
}

function commandIn(program: string, dir: string): string[] {
  return [program, `--config=${path.join(dir, 'pgbackrest.conf')}`];
}

function pgbackrestOf(
  program: string,
  { dir, user }: Pick<Place, 'dir' | 'user'>,
): (...args: string[]) => Promise<string> {
  const [file = '', ...fixed] = commandIn(program, dir);
  return (...args) => runProgram(file, [...fixed, `--stanza=${STANZA}`, ...args], { user });
}

async function configure({ dir, primaryPort, user }: Place): Promise<void> {
  const home = path.join(dir, 'pgbackrest');
  const places = ['', 'repo', 'log', 'spool', 'lock'].map((name) => path.join(home, name));
  for (const place of places) {
    await mkdir(place, { mode: 0o755 });
    if (user !== null) await chown(place, user.uid, user.gid);
  }
  const lines = [
    '[global]',
    `repo1-path=${path.join(home, 'repo')}`,
    `log-path=${path.join(home, 'log')}`,
    `spool-path=${path.join(home, 'spool')}`,
    `lock-path=${path.join(home, 'lock')}`,
    'repo1-retention-full=9',
    'start-fast=y',
    'compress-type=lz4',
    'archive-async=y',
    `process-max=${PROCESSES}`,
    `[${STANZA}]`,
    `pg1-path=${path.join(dir, 'primary')}`,
    `pg1-port=${String(primaryPort)}`,
    `pg1-socket-path=${dir}`,
    'pg1-user=postgres',
  ];
  await writeFile(path.join(dir, 'pgbackrest.conf'), `${lines.join('\n')}\n`, { mode: 0o644 });
}
