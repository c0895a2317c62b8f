/**
 * The same cluster in a bucket as barman-cloud writes it, and its restore by barman-cloud's own programs: the base by `barman-cloud-restore`, each segment by a
 * `restore_command` with `barman-cloud-wal-restore -p 4`, as its documentation has it.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { listWalFiles, readWalFile } from '../activities/backup-store/wal-archive.js';
import type { S3LocationConfig } from '../config/schema.js';
import type { ServerUser } from '../lab/server-user.js';
import { isSegmentName } from '../shared/timeline.js';
import { proveTarget, seconds, untilPaused, type Measured } from './measured.js';
import { ended, freePorts, runProgram, startProgram } from './processes.js';
import { findVenv } from './pypi-venv.js';
import { SHARED_BUFFERS, type Bench, type OtherStores, type Place } from './setup.js';

export type BarmanCloudTools = { bin: string };

/** Name of the store in the config. */
export const CLOUD_STORE = 'cloud';

const VERSION = '3.19.1';
const PACKAGES = [`barman[cloud]==${VERSION}`, 'lz4==4.4.5'];
const SERVER = 'bench';
const PREFIX = 'cloud';
/** Of base and WAL, for both restores. */
const COMPRESSION = '--lz4';

/** Its programs, or what has to be installed for them. */
export async function findBarmanCloud(
  user: ServerUser | null,
  say: (text: string) => void,
): Promise<BarmanCloudTools | { missing: string }> {
  const request = { name: `barman-cloud-${VERSION}`, packages: PACKAGES, program: 'barman-cloud-backup', user, say };
  const bin = await findVenv(request);
  return typeof bin === 'string' ? { bin } : bin;
}

/** The store for `setUp`; its base is taken with barman-cloud-backup. */
export function barmanCloudStore({ bin }: BarmanCloudTools, credentials: Bench['credentials']): OtherStores {
  return {
    config: (location) => ({
      [CLOUD_STORE]: { kind: 'barman-cloud', ...location, prefix: `${PREFIX}/`, server: SERVER },
    }),
    takeBases: async ({ location, primaryPort }: Place) => {
      const address = ['-h', '127.0.0.1', '-p', String(primaryPort), '-U', 'postgres', '--immediate-checkpoint'];
      const options = [...address, COMPRESSION, '--jobs', '2'];
      await runProgram(path.join(bin, 'barman-cloud-backup'), [...place(location), ...options, ...target(location)], {
        env: environmentOf(credentials),
      });
    },
  };
}

/** Archives what recovery needs with barman-cloud-wal-archive; it would have done so while the server worked. */
export async function archiveToCloud({ bin }: BarmanCloudTools, bench: Bench): Promise<void> {
  const { location, objects, dir, credentials, user } = bench;
  const folder = path.join(dir, 'to-cloud');
  await mkdir(folder, { mode: 0o755 });
  const files = (await listWalFiles(objects, 'wal/')).filter(({ name }) => isSegmentName(name));
  for (const file of files) {
    const local = path.join(folder, file.name);
    await writeFile(local, await readWalFile(objects, file), { mode: 0o644 });
    const args = [...place(location), COMPRESSION, ...target(location), local];
    await runProgram(path.join(bin, 'barman-cloud-wal-archive'), args, { env: environmentOf(credentials), user });
    await rm(local);
  }
  await rm(folder, { recursive: true });
}

/** Measures the restore with barman-cloud's programs once. */
export async function measureBarmanCloud({ bin }: BarmanCloudTools, bench: Bench): Promise<Measured> {
  const { user, binDir, location, credentials } = bench;
  const dir = path.join(bench.dir, 'barman-cloud');
  const dataDir = path.join(dir, 'data');
  const spool = path.join(dir, 'spool');
  const log = path.join(dir, 'server.log');
  const env = environmentOf(credentials);
  await mkdir(spool, { recursive: true, mode: 0o755 });
  if (user !== null) await runProgram('chown', ['-R', `${String(user.uid)}:${String(user.gid)}`, dir]);
  const [port = 0] = await freePorts(1);
  const started = performance.now();
  const restore = [...place(location), '--target-time', bench.target.time, ...target(location), 'auto', dataDir];
  await runProgram(path.join(bin, 'barman-cloud-restore'), restore, { env, user });
  await runProgram('chmod', ['0700', dataDir]);
  const wal = [...place(location), '-p', '4', '--spool-dir', spool, ...target(location)].join(' ');
  const settings = [
    `port = ${String(port)}`,
    `restore_command = '${path.join(bin, 'barman-cloud-wal-restore')} ${wal} %f %p'`,
    `recovery_target_time = '${bench.target.time}'`,
    "recovery_target_action = 'pause'",
    'archive_mode = off',
    `shared_buffers = ${SHARED_BUFFERS}`,
  ];
  await writeFile(path.join(dataDir, 'postgresql.auto.conf'), `${settings.join('\n')}\n`, { flag: 'a' });
  await writeFile(path.join(dataDir, 'recovery.signal'), '');
  const restoreSeconds = seconds(started);
  const server = startProgram(path.join(binDir, 'postgres'), ['-D', dataDir], log, { env, user });
  try {
    await untilPaused(port, server, log);
    const totalSeconds = seconds(started);
    await proveTarget(port);
    const replaySeconds = totalSeconds - restoreSeconds;
    return { restoreSeconds, replaySeconds, totalSeconds, bytes: Number.NaN, peakMemoryBytes: null };
  } finally {
    server.kill('SIGQUIT');
    await ended(server);
    await rm(dir, { recursive: true, force: true });
  }
}

function place({ endpoint = '' }: S3LocationConfig): string[] {
  return ['--endpoint-url', endpoint];
}

function target({ bucket }: S3LocationConfig): string[] {
  return [`s3://${bucket}/${PREFIX}`, SERVER];
}

function environmentOf({ accessKeyId, secretAccessKey }: Bench['credentials']): Record<string, string> {
  return {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_DEFAULT_REGION: 'us-east-1',
    PYTHONDONTWRITEBYTECODE: '1',
  };
}
