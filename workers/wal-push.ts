/**
 * Program `wal-push`: the `archive_command`. `wal-push --config FILE --environment NAME PATH` exits 0 only when the store has the file.
 * It is started once per segment by the server, so it loads as little as it can.
 */
import { parseArgs } from 'node:util';

import { readCredentials } from '../activities/backup-store/s3-access.js';
import { createSlimObjects } from '../activities/backup-store/s3-slim.js';
import { readStoreConfig } from '../activities/backup-store/wal-push-config.js';
import { pushWal } from '../activities/backup-store/wal-push.js';
import { createSecretResolver } from '../activities/secrets/resolve-secret.js';

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
  const store = await readStoreConfig(config, environment);
  const objects = createSlimObjects(store, await readCredentials(store, createSecretResolver()));
  await pushWal(objects, { path, walPrefix: store.walPrefix, compression: store.compression });
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`pgr wal-push: ${error instanceof Error ? error.message : String(error)}\n`);
    // 1: the server tries again later. More than 125 would stop its archiver process (PostgreSQL docs, archive_command).
    process.exit(1);
  },
);
