/**
 * (a) The same by a plain script, as runbooks have it: download the base, unpack it, recovery.signal and a restore_command that starts rclone
 * for each segment, start the server, wait.
 */
import { chmod, mkdir } from 'node:fs/promises';
import path from 'node:path';

import { measureServer } from './measure-server.js';
import type { Measured } from './measured.js';
import { runProgram } from './processes.js';
import type { Bench } from './setup.js';

/** rclone finds its remote `s3:` in the environment. */
function rcloneEnvironment({ location, credentials }: Bench): Record<string, string> {
  return {
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_S3_TYPE: 's3',
    RCLONE_CONFIG_S3_PROVIDER: 'Other',
    RCLONE_CONFIG_S3_ENDPOINT: location.endpoint ?? '',
    RCLONE_CONFIG_S3_ACCESS_KEY_ID: credentials.accessKeyId,
    RCLONE_CONFIG_S3_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    RCLONE_CONFIG_S3_FORCE_PATH_STYLE: 'true',
  };
}

/** Measures the script once. */
export async function measurePlain(bench: Bench): Promise<Measured> {
  const { user, binDir, location } = bench;
  const dir = path.join(bench.dir, 'plain');
  const dataDir = path.join(dir, 'data');
  const env = rcloneEnvironment(bench);
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  if (user !== null) await runProgram('chown', ['-R', `${String(user.uid)}:${String(user.gid)}`, dir]);
  await chmod(dataDir, 0o700);
  const started = performance.now();
  const remote = `s3:${location.bucket}/plain`;
  await runProgram('rclone', ['copy', `${remote}/base.tar.gz`, dir], { env, user });
  await runProgram('tar', ['-xzf', path.join(dir, 'base.tar.gz'), '-C', dataDir], { user });
  const settings = [
    `restore_command = 'rclone copyto ${remote}/wal/%f %p'`,
    `recovery_target_time = '${bench.target.time}'`,
    "recovery_target_action = 'pause'",
  ];
  const bytes = bench.base.sizes.bytes + bench.wal.count * bench.base.walSegmentBytes;
  return { ...(await measureServer({ binDir, user, env, dir, dataDir, settings, started })), bytes };
}
