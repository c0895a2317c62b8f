/**
 * The same cluster in a bucket as barman-cloud writes it, and its restore by barman-cloud's own programs: the base by `barman-cloud-restore`, each segment by a
 * `restore_command` with `barman-cloud-wal-restore -p 4`, as its documentation has it.
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import type { S3LocationConfig } from '../config/schema.js';
import type { ServerUser } from '../lab/server-user.js';
import { measureServer } from './measure-server.js';
import type { Measured } from './measured.js';
import { runProgram } from './processes.js';
import { findVenv } from './pypi-venv.js';
import type { Bench, OtherStores, Place } from './setup.js';

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
    config: ({ location }) => ({
      [CLOUD_STORE]: { kind: 'barman-cloud', ...location, prefix: `${PREFIX}/`, server: SERVER },
    }),
    takeBases: async ({ location, primaryPort }: Place) => {
      const address = ['-h', '127.0.0.1', '-p', String(primaryPort), '-U', 'postgres', '--immediate-checkpoint'];
      const options = [...address, COMPRESSION, '--jobs', '2'];
      await runProgram(path.join(bin, 'barman-cloud-backup'), [...place(location), ...options, ...target(location)], {
        env: environmentOf(credentials),
      });
    },
    archive: async ({ location, user }, segment) => {
      const args = [...place(location), COMPRESSION, ...target(location), segment];
      await runProgram(path.join(bin, 'barman-cloud-wal-archive'), args, { env: environmentOf(credentials), user });
    },
  };
}

/** Measures the restore with barman-cloud's programs once. */
export async function measureBarmanCloud({ bin }: BarmanCloudTools, bench: Bench): Promise<Measured> {
  const { user, binDir, location, credentials } = bench;
  const dir = path.join(bench.dir, 'barman-cloud');
  const dataDir = path.join(dir, 'data');
  const spool = path.join(dir, 'spool');
  const env = environmentOf(credentials);
  await mkdir(spool, { recursive: true, mode: 0o755 });
  if (user !== null) await runProgram('chown', ['-R', `${String(user.uid)}:${String(user.gid)}`, dir]);
  const started = performance.now();
  const restore = [...place(location), '--target-time', bench.target.time, ...target(location), 'auto', dataDir];
  await runProgram(path.join(bin, 'barman-cloud-restore'), restore, { env, user });
  await runProgram('chmod', ['0700', dataDir]);
  const wal = [...place(location), '-p', '4', '--spool-dir', spool, ...target(location)].join(' ');
  const settings = [
    `restore_command = '${path.join(bin, 'barman-cloud-wal-restore')} ${wal} %f %p'`,
    `recovery_target_time = '${bench.target.time}'`,
    "recovery_target_action = 'pause'",
  ];
  return measureServer({ binDir, user, env, dir, dataDir, settings, started });
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
