/** The source of dumps of a config. */
import type { DumpSourceConfig } from '../../../config/schema.js';
import type { DumpSource } from '../../lib/dump-source.js';
import { downloadDump, listDumps } from '../databasus-api/logical-backups.js';
import { createHttp } from '../databasus-api/http.js';
import { SHORT } from '../databasus-api/patience.js';
import { createSession } from '../databasus-api/session.js';
import { readCredentials } from '../s3-access.js';
import { createObjectStore } from '../s3-objects.js';
import { JOB_PATIENCE } from '../s3-retry.js';
import { createFileSource } from './file-source.js';
import { createS3Source } from './s3-source.js';

/** Secrets are resolved now; nothing else is asked yet. */
export async function createDumpSource(
  config: DumpSourceConfig,
  resolveSecret: (reference: string) => Promise<string>,
): Promise<DumpSource> {
  switch (config.kind) {
    case 's3':
      return createS3Source(
        config,
        createObjectStore(config, await readCredentials(config, resolveSecret), JOB_PATIENCE),
      );
    case 'databasus':
      return databasusSource(config, await resolveSecret(config.password));
    case 'file':
    default:
      return createFileSource(config.path);
  }
}

function databasusSource(config: Extract<DumpSourceConfig, { kind: 'databasus' }>, password: string): DumpSource {
  const session = createSession(createHttp(config.url), { email: config.email, password }, SHORT);
  return {
    kind: 'databasus',
    list: async () => {
      const dumps = await listDumps(session, config.database);
      return dumps.map(({ id, fileName, bytes, createdAt }) => ({ id, name: fileName, bytes, createdAt }));
    },
    pathOf: () => null,
    // The controller sends a dump in one piece and only once: what an earlier call left is no use.
    fetch: async ({ id }, to, onBytes) => {
      onBytes(await downloadDump(session, id, to, SHORT));
    },
  };
}
