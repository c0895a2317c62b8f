/**
 * Program `wal-push`: the `archive_command`. `wal-push --config FILE --environment NAME PATH` exits 0 only when the store has the file.
 * It is started once per segment by the server, so it loads as little as it can.
 */
import { parseArgs } from 'node:util';

import { openObjects } from '../activities/backup-store/s3-access.js';
import { pushWal } from '../activities/backup-store/wal-push.js';
import { environmentOf } from '../activities/lib/environment-config.js';
import { createSecretResolver } from '../activities/secrets/resolve-secret.js';
import { loadConfig } from '../config/load.js';

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { config: { type: 'string' }, environment: { type: 'string' } },
  });
  const [path] = positionals;
  const { config, environment } = values;
  if (config === undefined || environment === undefined || path === undefined || positionals.length > 1) {
    throw new Error('usage: wal-push --config FILE --environment NAME PATH');
  }
  const { backups } = environmentOf(await loadConfig(config), environment);
  const objects = await openObjects(backups, createSecretResolver());
  await pushWal(objects, { path, walPrefix: backups.walPrefix, compression: backups.compression });
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`pgr wal-push: ${error instanceof Error ? error.message : String(error)}\n`);
    // 1: the server tries again later. More than 125 would stop its archiver process (PostgreSQL docs, archive_command).
    process.exit(1);
  },
);
