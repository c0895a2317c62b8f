/** The real barman-cloud (PyPI, pinned with what it needs) against a test bucket: archiving, and bases of a test cluster. */
import { execFile } from 'node:child_process';
import { access, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

import type { Cluster } from './cluster.js';
import type { TestS3 } from './s3.js';
import { testToolsDir } from './tools.js';

const run = promisify(execFile);

const VERSION = '3.19.1';
/** With `--no-deps`, so that nothing but these is installed; psycopg2-binary needs neither a compiler nor libpq. */
const WHEELS = [
  `barman==${VERSION}`,
  'psycopg2-binary==2.9.13',
  'boto3==1.44.5',
  'botocore==1.44.5',
  'jmespath==1.1.0',
  'python-dateutil==2.9.0.post0',
  's3transfer==0.19.3',
  'six==1.17.0',
  'urllib3==2.8.0',
  // The compressions that Python has not of its own.
  'python-snappy==0.7.3',
  'cramjam==2.14.0',
  'lz4==4.4.5',
  'zstandard==0.25.0',
];
const PIP = ['-m', 'pip', 'install', '--no-deps', '--no-compile', '--only-binary', ':all:', '--quiet', '--no-input'];

export type BarmanCloud = {
  /** The archive_command of a server that archives as `server`. */
  archiveCommand(server: string, options?: readonly string[]): string;
  /** Takes a base and returns its id. */
  backup(cluster: Cluster, server: string, options?: readonly string[]): Promise<string>;
};

/** Barman's programs for one bucket; objects lie below `prefix`. */
export async function barmanCloud(s3: TestS3, prefix: string): Promise<BarmanCloud> {
  const python = await pythonForEverybody();
  const site = await installBarman(python);
  const env = {
    AWS_ACCESS_KEY_ID: s3.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.secretAccessKey,
    AWS_DEFAULT_REGION: 'us-east-1',
    PYTHONPATH: site,
    PYTHONDONTWRITEBYTECODE: '1',
  };
  const args = (program: string, options: readonly string[], server: string): string[] => [
    path.join(site, 'bin', program),
    '--endpoint-url',
    s3.endpoint,
    ...options,
    `s3://${s3.bucket}/${prefix}`,
    server,
  ];
  return {
    archiveCommand(server, options = ['--gzip']) {
      const words = Object.entries(env).map(([name, value]) => `${name}=${value}`);
      return [...words, python, ...args('barman-cloud-wal-archive', options, server), '%p'].join(' ');
    },
    async backup(cluster, server, options = []) {
      const before = new Set(await backupIds());
      const address = ['-h', '127.0.0.1', '-p', String(cluster.port), '-U', 'postgres', '--immediate-checkpoint'];
      await run(python, args('barman-cloud-backup', [...address, ...options], server), { env, cwd: '/' });
      const added = (await backupIds()).filter((id) => !before.has(id));
      if (added.length !== 1) throw new Error(`one base was taken, ${String(added.length)} are new`);
      return added[0]!;

      async function backupIds(): Promise<string[]> {
        const list = args('barman-cloud-backup-list', ['--format', 'json'], server);
        const { stdout } = await run(python, list, { env, cwd: '/' });
        const { backups_list: backups } = JSON.parse(stdout) as { backups_list: { backup_id: string }[] };
        return backups.map(({ backup_id: id }) => id);
      }
    },
  };
}

/** The server runs as another user, who may not enter the home of the one whose python3 is first on PATH. */
export async function pythonForEverybody(): Promise<string> {
  return access('/usr/bin/python3').then(
    () => '/usr/bin/python3',
    () => 'python3',
  );
}

/** Directory with the packages and `bin/`, installed once; of two processes that install at once one wins. */
export async function installBarman(python: string): Promise<string> {
  const parent = testToolsDir();
  const dir = path.join(parent, `barman-cloud-${VERSION}-codecs`);
  if ((await readdir(dir).catch(() => [])).length > 0) return dir;
  await mkdir(parent, { recursive: true, mode: 0o755 });
  const temporary = await mkdtemp(path.join(parent, '.installing-barman-'));
  try {
    await run(python, [...PIP, '--target', temporary, ...WHEELS]);
    await run('chmod', ['-R', 'a+rX', temporary]);
    await rename(temporary, dir).catch(async (error: unknown) => {
      if ((await readdir(dir).catch(() => [])).length === 0) throw error;
    });
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return dir;
}
