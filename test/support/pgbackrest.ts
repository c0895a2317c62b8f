/** The real pgBackRest of a Debian release, and stanzas of test clusters. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

import { serverOwner } from './cluster.js';
import { testToolsDir } from './tools.js';

const run = promisify(execFile);

/** Debian testing has the newest one that there is a package of; Debian 12 the oldest one that is supported. */
export type Release = 'forky' | 'bookworm';

/** What is missing on this machine to get it, null when nothing is. */
export function missingForPgbackrest(): string | null {
  const isNamed = (process.env['PGR_TEST_PGBACKREST'] ?? '') !== '';
  const hasPackages = ['/usr/bin/apt-get', '/usr/bin/dpkg'].every((program) => existsSync(program));
  return isNamed || hasPackages ? null : 'pgbackrest is taken from Debian packages, or from PGR_TEST_PGBACKREST';
}

/** The program: PGR_TEST_PGBACKREST when set, else that of the release, installed once. */
export async function pgbackrestProgram(release: Release): Promise<string> {
  const named = process.env['PGR_TEST_PGBACKREST'];
  if (named !== undefined && named !== '') return named;
  const parent = testToolsDir();
  const dir = path.join(parent, `pgbackrest-${release}`);
  const program = path.join(dir, 'pgbackrest');
  if (await isThere(program)) return program;
  await mkdir(parent, { recursive: true, mode: 0o755 });
  const temporary = await mkdtemp(path.join(parent, '.installing-pgbackrest-'));
  try {
    await chmod(temporary, 0o755);
    await run('sh', [path.join(process.cwd(), 'scripts', 'install-pgbackrest.sh'), release, temporary]);
    // Of two processes that install at once one wins.
    await rename(temporary, dir).catch(async (error: unknown) => {
      if (!(await isThere(program))) throw error;
    });
    return program;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

export type StanzaOptions = {
  program: string;
  /** Directory of everything of it; belongs to the user of the server. */
  dir: string;
  name: string;
  port: number;
  dataDir: string;
  /** Lines of the section [global]. */
  conf?: readonly string[];
};

export type TestStanza = {
  command: string[];
  archiveCommand: string;
  configFile: string;
  repoDir: string;
  /** Runs a command as the user of the server. */
  run(...args: string[]): Promise<string>;
  /** Takes a base and returns its label. */
  backup(type: 'full' | 'diff' | 'incr', ...options: string[]): Promise<string>;
};

/** Writes the configuration of a stanza; the server has to listen on a socket in `dir`. `stanza-create` is the caller's. */
export async function makeStanza(options: StanzaOptions): Promise<TestStanza> {
  const { program, dir, name, port, dataDir, conf = [] } = options;
  const owner = await serverOwner();
  const at = (place: string): string => path.join(dir, place);
  for (const place of ['repo', 'log', 'spool', 'lock']) {
    await mkdir(at(place), { recursive: true });
    if (process.getuid?.() === 0) await chown(at(place), owner.uid, owner.gid);
  }
  const configFile = at('pgbackrest.conf');
  const lines = [
    '[global]',
    `repo1-path=${at('repo')}`,
    `log-path=${at('log')}`,
    `spool-path=${at('spool')}`,
    `lock-path=${at('lock')}`,
    'repo1-retention-full=9',
    'start-fast=y',
    'archive-timeout=20',
    ...conf,
    `[${name}]`,
    `pg1-path=${dataDir}`,
    `pg1-port=${String(port)}`,
    `pg1-socket-path=${dir}`,
    'pg1-user=postgres',
  ];
  await writeFile(configFile, `${lines.join('\n')}\n`, { mode: 0o644 });
  const command = [program, `--config=${configFile}`];
  const asServer = process.getuid?.() === 0 ? owner : {};
  const runStanza = async (...args: string[]): Promise<string> => {
    const all = [...command.slice(1), `--stanza=${name}`, ...args];
    const { stdout } = await run(program, all, { cwd: '/', ...asServer, maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  };
  const labels = async (): Promise<string[]> => {
    const [stanza] = JSON.parse(await runStanza('info', '--output=json')) as [{ backup: { label: string }[] }];
    return stanza.backup.map(({ label }) => label);
  };
  return {
    command,
    archiveCommand: `${[...command, `--stanza=${name}`].join(' ')} archive-push %p`,
    configFile,
    repoDir: at('repo'),
    run: runStanza,
    async backup(type, ...more) {
      const before = new Set(await labels());
      await runStanza('backup', `--type=${type}`, ...more);
      const added = (await labels()).filter((label) => !before.has(label));
      if (added.length !== 1) throw new Error(`one base was taken, ${String(added.length)} are new`);
      return added[0]!;
    },
  };
}

function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
