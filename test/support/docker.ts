/**
 * A Docker engine of a test's own: data, sockets and containerd namespace in a temporary directory, in a network namespace without anything in it, so that
 * it meets neither an engine of the machine nor that of another test. Base images are made with mmdebstrap once and kept in /var/tmp.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { access, mkdir, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { describeFailure, runProgram, runProgramOrFail, type ProgramResult } from '../../activities/lib/exec.js';
import { findProgram } from './peer-process.js';

export type TestDocker = {
  /** For DOCKER_HOST. */
  host: string;
  /** Output of a docker command that must succeed. */
  run(...args: string[]): Promise<string>;
  /** The same, whatever it ends with. */
  attempt(...args: string[]): Promise<ProgramResult>;
  /** Imports a base image unless it is there and returns its name. */
  image(name: keyof typeof IMAGES): Promise<string>;
  /** An image on trixie with the server programs of `binDir`, laid out as the official ones; returns its name. */
  postgresImage(binDir: string): Promise<string>;
  /** Ends the engine (its containers with it, as with a reboot) and starts it again on the same data. */
  restart(): Promise<void>;
  /** A temporary directory that goes with the engine. */
  dir: string;
  destroy(): Promise<void>;
};

/** What the base images are made of. The systemd of Debian 12 is the last one that boots under cgroup v1 too. */
const IMAGES = {
  trixie: { suite: 'trixie', packages: ['ca-certificates'] },
  'systemd-postgresql': {
    suite: 'bookworm',
    packages: ['systemd', 'systemd-sysv', 'dbus', 'sudo', 'libstdc++6', 'postgresql'],
  },
} as const;

const NEEDED = ['dockerd', 'docker', 'ip', 'mmdebstrap', 'unshare'];
const READY_TIMEOUT_MS = 30_000;
const IMAGE_TIMEOUT_MS = 600_000;

/** `describe` where an engine can be started, else `describe.skip` with the reason printed. */
export function describeWithDocker(): jest.Describe {
  const missing = NEEDED.filter((name) => findProgram(name) === null);
  const reason =
    process.getuid?.() !== 0
      ? 'a Docker engine needs root'
      : missing.length > 0
        ? `${missing.join(', ')} not installed (apt-get install docker.io mmdebstrap)`
        : null;
  if (reason === null) return describe;
  process.stderr.write(`skipped: ${reason}\n`);
  return describe.skip;
}

/** Directory of the base images that were made on this machine. */
function imageCache(): string {
  return path.join('/var/tmp', `pgr-test-images-${String(process.getuid?.() ?? 0)}`);
}

/** Starts an engine; `destroy` it in afterAll. */
export async function startDocker(): Promise<TestDocker> {
  const dir = await mkdtemp(path.join(tmpdir(), 'pgr-docker-'));
  const host = `unix://${dir}/docker.sock`;
  // The classic builder: it needs no plugin.
  const env = { DOCKER_HOST: host, DOCKER_BUILDKIT: '0' };
  let daemon = await startDaemon(dir, env);
  const docker: TestDocker = {
    host,
    dir,
    run: async (...args) => (await runProgramOrFail('docker', args, { env, timeoutMs: IMAGE_TIMEOUT_MS })).trim(),
    attempt: (...args) => runProgram('docker', args, { env }),
    async image(name) {
      const tag = `pgr-test:${name}`;
      if ((await docker.attempt('image', 'inspect', tag)).exitCode === 0) return tag;
      await docker.run('import', await makeImage(name), tag);
      return tag;
    },
    async postgresImage(binDir) {
      const tag = 'pgr-test:postgres';
      if ((await docker.attempt('image', 'inspect', tag)).exitCode === 0) return tag;
      const file = path.join(dir, 'Dockerfile');
      await writeFile(file, postgresDockerfile(await docker.image('trixie'), binDir));
      await docker.run('build', '--quiet', '--tag', tag, '--file', file, treeOf(binDir));
      return tag;
    },
    async restart() {
      await stopDaemon(daemon);
      daemon = await startDaemon(dir, env);
    },
    async destroy() {
      const left = (await docker.attempt('ps', '--all', '--quiet')).stdout.split('\n').filter((id) => id !== '');
      if (left.length > 0) await docker.attempt('rm', '--force', '--volumes', ...left);
      await stopDaemon(daemon);
      await unmountNamespaces(dir);
      await rm(dir, { recursive: true, force: true, maxRetries: 3 });
    },
  };
  return docker;
}

/** The programs of a wheel find their libraries beside them. */
function treeOf(binDir: string): string {
  return path.dirname(path.dirname(path.dirname(binDir)));
}

function postgresDockerfile(base: string, binDir: string): string {
  const tree = treeOf(binDir);
  return `FROM ${base}
COPY . ${tree}/
RUN printf '#!/bin/sh\\nexec "$@"\\n' >/usr/local/bin/docker-entrypoint.sh; chmod 0755 /usr/local/bin/docker-entrypoint.sh ${binDir}/*
ENV PATH=${binDir}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PGDATA=/var/lib/postgresql/18/docker
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
`;
}

function daemonArgs(dir: string): string[] {
  const namespace = path.basename(dir);
  return [
    ...['--data-root', path.join(dir, 'root'), '--exec-root', path.join(dir, 'exec')],
    ...['--host', `unix://${dir}/docker.sock`, '--pidfile', path.join(dir, 'dockerd.pid')],
    ...['--containerd-namespace', namespace, '--containerd-plugins-namespace', `${namespace}-plugins`],
    ...['--bridge', 'none', '--iptables=false', '--ip-forward=false', '--ip-masq=false'],
  ];
}

async function startDaemon(dir: string, env: Record<string, string>): Promise<ChildProcess> {
  const logFile = path.join(dir, 'dockerd.log');
  const log = await open(logFile, 'a');
  const args = daemonArgs(dir);
  // In a network namespace of its own: with `--bridge none` dockerd removes the bridge docker0, also that of another engine.
  const withLoopback = [
    '--net',
    '/bin/sh',
    '-c',
    'ip link set lo up && exec "$0" "$@"',
    findProgram('dockerd') ?? 'dockerd',
  ];
  const daemon = spawn(findProgram('unshare') ?? 'unshare', [...withLoopback, ...args], {
    cwd: '/',
    stdio: ['ignore', log.fd, log.fd],
  });
  await log.close();
  const deadline = Date.now() + READY_TIMEOUT_MS;
  for (;;) {
    const said = await runProgram('docker', ['version', '--format', '{{.Server.Version}}'], { env });
    if (said.exitCode === 0) return daemon;
    if (daemon.exitCode !== null || Date.now() > deadline) {
      await stopDaemon(daemon);
      throw new Error(
        `dockerd did not start (${describeFailure(said)}): ${(await readFile(logFile, 'utf8')).slice(-2_000)}`,
      );
    }
    await delay(50);
  }
}

async function stopDaemon(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => {
    daemon.once('exit', () => {
      resolve();
    });
  });
  daemon.kill('SIGTERM');
  await ended;
}

/** The engine leaves the namespace of containers with `--network host` mounted. */
async function unmountNamespaces(dir: string): Promise<void> {
  const namespaces = path.join(dir, 'exec/netns');
  for (const name of await readdir(namespaces).catch(() => [])) {
    await runProgram('umount', [path.join(namespaces, name)]);
  }
}

/** The archive of a base image, made when this machine has none yet (a minute). */
async function makeImage(name: keyof typeof IMAGES): Promise<string> {
  const { suite, packages } = IMAGES[name];
  await mkdir(imageCache(), { recursive: true, mode: 0o755 });
  const file = path.join(imageCache(), `${name}.tar`);
  const there = await access(file).then(
    () => true,
    () => false,
  );
  if (there) return file;
  process.stderr.write(`making the base image ${name} with mmdebstrap (once)\n`);
  const unfinished = `${file}.${String(process.pid)}.tar`;
  try {
    const args = ['--quiet', '--variant=minbase', `--include=${packages.join(',')}`, suite, unfinished];
    await runProgramOrFail('mmdebstrap', args, { timeoutMs: IMAGE_TIMEOUT_MS });
    await rename(unfinished, file);
  } finally {
    await rm(unfinished, { force: true });
  }
  return file;
}
