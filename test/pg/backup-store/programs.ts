/** Our programs as single files, built from the sources under test, and an environment that they run against. */
import { spawn, type ChildProcess } from 'node:child_process';
import { chmod, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';

import type { FetchSpec, TakeBaseOptions } from '../../../activities/lib/backup-store.js';
import { serverDirectory, type Cluster } from '../../support/cluster.js';
import type { TestS3 } from '../../support/s3.js';
import { bundleInto } from '../../support/bundle.js';

export type Programs = { dir: string; file(name: 'mover' | 'take-base' | 'wal-push'): string; remove(): Promise<void> };

/** Bundles the programs into a directory that the server's user can enter (a checkout may be closed to it), with the native part of LZ4. */
export async function buildPrograms(): Promise<Programs> {
  const dir = await serverDirectory('pgr-programs-');
  await chmod(dir, 0o755);
  const modules = path.join(process.cwd(), 'node_modules');
  for (const name of ['lz4-napi', '@antoniomuso', 'snappy', '@napi-rs']) {
    await cp(path.join(modules, name), path.join(dir, 'node_modules', name), { recursive: true, dereference: true });
  }
  await bundleInto(
    dir,
    ['mover', 'take-base', 'wal-push', 'fetch-pgbackrest', 'backup-pgbackrest', 'fetch-barman', 'take-base-barman'].map(
      (name) => `workers/${name}.ts`,
    ),
  );
  return {
    dir,
    file: (name) => path.join(dir, `${name}.cjs`),
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}

export type Ended = {
  code: number | null;
  signal: string | null;
  stderr: string;
  result: unknown;
  seconds: number;
  peakKiB: number;
};

export type Running = { child: ChildProcess; jobDir: string; ended: Promise<Ended> };

export type Site = {
  dir: string;
  configPath: string;
  /** Starts a program as a job. */
  start(
    name: 'mover' | 'take-base',
    spec: unknown,
    options?: { jobDir?: string; env?: Record<string, string> },
  ): Promise<Running>;
  /** Runs `wal-push PATH`. */
  push(file: string, env?: Record<string, string>): Promise<Ended>;
  takeBase(cluster: Cluster, id: string, kind?: TakeBaseOptions['kind']): Promise<Ended>;
  remove(): Promise<void>;
};

export type SiteOptions = { compression?: 'none' | 'gzip' | 'lz4'; prefix?: string };

/** A config with one environment `site` whose store is `s3`. */
export async function createSite(programs: Programs, s3: TestS3, options: SiteOptions = {}): Promise<Site> {
  const dir = await serverDirectory('pgr-site-');
  const configPath = path.join(dir, 'recovery.yaml');
  await writeFile(configPath, stringify(config(dir, s3, options)), { mode: 0o644 });
  let jobs = 0;
  const secrets = { PGR_TEST_S3_KEY: s3.accessKeyId, PGR_TEST_S3_SECRET: s3.secretAccessKey };
  const base = { PATH: process.env['PATH'] ?? '', HOME: dir, ...secrets };
  const site: Site = {
    dir,
    configPath,
    async start(name, spec, { jobDir, env } = {}) {
      jobs += 1;
      const job = jobDir ?? path.join(dir, `job-${String(jobs)}`);
      await mkdir(job, { recursive: true });
      const specPath = path.join(job, 'spec-of-program.json');
      await writeFile(specPath, JSON.stringify(spec));
      const args = [programs.file(name), '--config', configPath, '--environment', 'site', specPath];
      return run(args, { ...base, ...env, PGR_JOB_DIR: job }, job);
    },
    async push(file, env = {}) {
      const args = [programs.file('wal-push'), '--config', configPath, '--environment', 'site', file];
      return run(args, { ...base, ...env }, dir).ended;
    },
    async takeBase(cluster, id, kind = 'full') {
      const connection = { host: '127.0.0.1', port: cluster.port, user: 'postgres', password: null };
      const spec: TakeBaseOptions = { id, kind, binDir: cluster.binDir, connection };
      return (await site.start('take-base', spec)).ended;
    },
    remove: () => rm(dir, { recursive: true, force: true, maxRetries: 3 }),
  };
  return site;
}

function run(args: string[], env: Record<string, string>, jobDir: string): Running {
  const started = Date.now();
  const child = spawn(process.execPath, args, { env, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
  let stderr = '';
  let peakKiB = 0;
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdout.resume();
  const sampler = setInterval(() => {
    void readFile(`/proc/${String(child.pid)}/status`, 'utf8').then(
      (text) => (peakKiB = Math.max(peakKiB, Number(/VmHWM:\s+(\d+)/.exec(text)?.[1] ?? 0))),
      () => undefined,
    );
  }, 20);
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code, signal) => {
      clearInterval(sampler);
      const seconds = (Date.now() - started) / 1000;
      void readFile(path.join(jobDir, 'result.json'), 'utf8').then(
        (text) => {
          resolve({ code, signal, stderr, result: JSON.parse(text), seconds, peakKiB });
        },
        () => {
          resolve({ code, signal, stderr, result: null, seconds, peakKiB });
        },
      );
    });
  });
  return { child, jobDir, ended };
}

/** Only `backups` is looked at by the programs; the rest makes the config valid. */
function config(dir: string, s3: TestS3, { compression = 'lz4', prefix = '' }: SiteOptions): unknown {
  const node = { name: 'dallas', host: 'here', address: '127.0.0.1', port: 5432, dataDir: path.join(dir, 'data') };
  return {
    version: 1,
    stateDir: path.join(dir, 'state'),
    record: { kind: 'directory', path: path.join(dir, 'record') },
    environments: {
      site: {
        postgres: {},
        nodes: [{ ...node, binDir: '/usr/bin', runtime: { kind: 'process' } }],
        routing: { kind: 'multihost', url: 'postgresql://127.0.0.1:5432/postgres?target_session_attrs=read-write' },
        backups: { kind: 's3', ...s3.location, prefix, compression },
      },
    },
  };
}

/** A fetch specification below `sandbox`. */
export function fetchSpec(
  sandbox: string,
  baseIds: string[],
  wal: { timeline?: number; first: string; last: string; segmentBytes?: number },
  owner: FetchSpec['owner'],
): FetchSpec {
  return {
    environment: 'site',
    baseIds,
    baseDirs: baseIds.map((_, at) => path.join(sandbox, `base-${String(at)}`)),
    wal: {
      timeline: wal.timeline ?? 1,
      firstSegment: wal.first,
      lastSegment: wal.last,
      walSegmentBytes: wal.segmentBytes ?? 16 * 1024 * 1024,
      dir: path.join(sandbox, 'wal'),
    },
    owner,
  };
}
