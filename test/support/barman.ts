/** The real Barman (PyPI) with a home of its own over a test cluster, as a team has it: streaming archiver, slot, pg_basebackup. */
import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

import { pollUntil } from '../../activities/lib/poll.js';
import { installBarman, pythonForEverybody } from './barman-cloud.js';
import { serverDirectory, serverOwner, type Cluster } from './cluster.js';

const run = promisify(execFile);

export type BarmanOptions = {
  /** Lines added to the server's part of the configuration. */
  conf?: readonly string[];
  /** Another server of the pair: Barman follows whichever of the two accepts writes, as with a write address. */
  peer?: Cluster;
  /** An existing home (pulled back from a mirror) instead of an empty one. */
  home?: string;
  /** Not by streaming: the server (with archive_mode = on) is given an archive_command. */
  archiver?: boolean;
  /** Barman's own operating system user (needs root); that of the servers when left out. */
  user?: string;
};

export type TestBarman = {
  dir: string;
  home: string;
  /** As `backups.command` of the config wants it. */
  command: string[];
  /** Runs Barman; its exit code is not looked at. */
  run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
  ask(...args: string[]): Promise<Record<string, unknown>>;
  /** Takes a backup and returns its id. */
  backup(...options: string[]): Promise<string>;
  /** Ends the current segment and waits until Barman has it complete; returns its name. */
  switchWal(): Promise<string>;
  /** All that Barman has of the WAL, relative to its directory. */
  walFiles(): Promise<string[]>;
  stopReceiving(): Promise<void>;
  destroy(): Promise<void>;
};

export const SERVER = 'main';

const alive = new Set<TestBarman>();

/** Destroys every Barman of this file that was not destroyed by its test. */
export async function destroyAllBarmans(): Promise<void> {
  for (const barman of alive) await barman.destroy();
}

/** The command that hands WAL to the incoming directory of a Barman with `archiver: true`, on the same machine. */
function archiveCommandFor(home: string): string {
  const incoming = path.join(home, SERVER, 'incoming');
  return `cp %p ${incoming}/.%f.tmp && chmod 644 ${incoming}/.%f.tmp && mv ${incoming}/.%f.tmp ${incoming}/%f`;
}

/** A Barman of `cluster`, receiving WAL (unless `archiver`). */
export async function startBarman(cluster: Cluster, options: BarmanOptions = {}): Promise<TestBarman> {
  const python = await pythonForEverybody();
  const site = await installBarman(python);
  const dir = await serverDirectory('pgr-barman-home-');
  await chmod(dir, 0o711);
  const home = options.home ?? path.join(dir, 'home');
  const confFile = path.join(dir, 'barman.conf');
  await mkdir(home, { recursive: true });
  const owner = options.user === undefined ? await serverOwner() : await ownerNamed(options.user);
  if (process.getuid?.() === 0) {
    await chown(dir, owner.uid, owner.gid);
    if (options.home === undefined) await chown(home, owner.uid, owner.gid);
  }
  await writeFile(confFile, await confOf(cluster, { ...options, home, dir }), { mode: 0o644 });
  const env = [`PYTHONPATH=${site}`, 'PYTHONDONTWRITEBYTECODE=1'];
  const command = ['/usr/bin/env', ...env, python, path.join(site, 'bin', 'barman'), '-c', confFile];
  const barman = createTestBarman(cluster, { dir, home, command });
  alive.add(barman);
  if (options.home !== undefined) return barman;
  if (options.archiver !== true) await barman.run('receive-wal', '--create-slot', SERVER);
  // Makes the directories, and starts the receiver. The first backup wants one WAL file in the archive.
  await barman.run('cron');
  if (options.archiver === true) await archiveInto(cluster, barman);
  else await untilReceiving(barman);
  const first = await barman.run('switch-wal', '--force', '--archive', '--archive-timeout', '30', SERVER);
  if (first.code !== 0) throw new Error(`barman gets no WAL: ${first.stdout} ${first.stderr}`);
  return barman;
}

function createTestBarman(
  cluster: Cluster,
  { dir, home, command }: { dir: string; home: string; command: string[] },
): TestBarman {
  const [program = '', ...fixed] = command;
  const call = async (...args: string[]) => {
    const options = { cwd: '/', env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' }, maxBuffer: 64 * 1024 * 1024 };
    return run(program, [...fixed, ...args], options).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: unknown) => {
        const { code = -1, stdout = '', stderr = '' } = error as { code?: number; stdout?: string; stderr?: string };
        return { code, stdout, stderr };
      },
    );
  };
  const walFiles = async (): Promise<string[]> => {
    // Barman makes and moves files meanwhile.
    const all = await readdir(path.join(home, SERVER), { recursive: true }).catch(() => []);
    return all.filter((name) => /^(wals|streaming|incoming)\/.*[0-9A-F]{8}/.test(name)).sort();
  };
  const barman: TestBarman = {
    dir,
    home,
    command,
    run: call,
    async ask(...args) {
      const { stdout } = await call('-f', 'json', ...args);
      return JSON.parse(stdout) as Record<string, unknown>;
    },
    async backup(...options) {
      const before = await ids(barman);
      const ended = await call('backup', '--wait', '--wait-timeout', '60', ...options, SERVER);
      const added = (await ids(barman)).filter((id) => !before.includes(id));
      if (added.length !== 1) throw new Error(`no backup: ${ended.stdout} ${ended.stderr}`);
      return added[0]!;
    },
    async switchWal() {
      await cluster.query('select pg_current_xact_id()');
      const [row] = await cluster.query<{ name: string }>('select pg_walfile_name(pg_switch_wal()) as name');
      const name = row!.name;
      const there = await pollUntil(
        async () => ((await walFiles()).some((f) => f.endsWith(`/${name}`)) ? true : null),
        {
          timeoutMs: 30_000,
        },
      );
      if (there === null) throw new Error(`${name} did not come: ${(await walFiles()).join(' ')}`);
      return name;
    },
    walFiles,
    async stopReceiving() {
      await call('receive-wal', '--stop', SERVER);
    },
    async destroy() {
      await call('receive-wal', '--stop', SERVER);
      await pollUntil(async () => ((await receivers(home)).length === 0 ? true : null), { timeoutMs: 20_000 });
      for (const pid of await receivers(home)) process.kill(pid, 'SIGKILL');
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
      alive.delete(barman);
    },
  };
  return barman;
}

/** Gives the server its archive_command, and lets it write into the directory of another user, as a team would with a group. */
async function archiveInto(cluster: Cluster, barman: TestBarman): Promise<void> {
  const { home } = barman;
  // Makes the directories.
  await barman.run('check', SERVER);
  for (const at of [home, path.join(home, SERVER), path.join(home, SERVER, 'incoming')]) await chmod(at, 0o777);
  await cluster.query(`alter system set archive_command = '${archiveCommandFor(home)}'`);
  await cluster.query('select pg_reload_conf()');
}

async function ownerNamed(user: string): Promise<{ uid: number; gid: number }> {
  const id = async (flag: string): Promise<number> => Number((await run('id', [flag, user])).stdout);
  return { uid: await id('-u'), gid: await id('-g') };
}

/** A receiver with a new slot begins in the segment that is current when it connects. */
async function untilReceiving(barman: TestBarman): Promise<void> {
  const begun = await pollUntil(
    async () => ((await barman.walFiles()).some((name) => name.endsWith('.partial')) ? true : null),
    { timeoutMs: 20_000 },
  );
  if (begun === null) throw new Error('barman does not receive WAL');
}

async function ids(barman: TestBarman): Promise<string[]> {
  const answer = (await barman.ask('list-backups', SERVER)) as { main: { backup_id: string }[] };
  return answer.main.map(({ backup_id: id }) => id);
}

/** Processes that write into this home. */
async function receivers(home: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      return line.includes('pg_receivewal') && line.includes(home) ? [Number(pid)] : [];
    }),
  );
  return found.flat();
}

function addressOf(cluster: Cluster, peer: Cluster | undefined): string {
  if (peer === undefined) return `host=127.0.0.1 port=${String(cluster.port)} user=postgres`;
  const ports = `${String(cluster.port)},${String(peer.port)}`;
  return `host=127.0.0.1,127.0.0.1 port=${ports} user=postgres target_session_attrs=read-write`;
}

async function confOf(cluster: Cluster, options: BarmanOptions & { home: string; dir: string }): Promise<string> {
  const owner = await serverOwner();
  const { stdout: user } = await run('id', ['-un', String(owner.uid)]);
  const address = addressOf(cluster, options.peer);
  const isStreaming = options.archiver !== true;
  return [
    '[barman]',
    `barman_user = ${options.user ?? user.trim()}`,
    `barman_home = ${options.home}`,
    `barman_lock_directory = ${options.home}`,
    `log_file = ${path.join(options.dir, 'barman.log')}`,
    'minimum_redundancy = 0',
    `[${SERVER}]`,
    'description = test',
    `conninfo = ${address} dbname=postgres`,
    `streaming_conninfo = ${address}`,
    'backup_method = postgres',
    `archiver = ${isStreaming ? 'off' : 'on'}`,
    `streaming_archiver = ${isStreaming ? 'on' : 'off'}`,
    ...(isStreaming ? ['slot_name = barman', 'create_slot = auto'] : []),
    `path_prefix = ${cluster.binDir}`,
    ...(options.conf ?? ['compression = gzip']),
    '',
  ].join('\n');
}
