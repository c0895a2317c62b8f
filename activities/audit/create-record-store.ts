import type { RecordStoreConfig } from '../../config/schema.js';
import { createDirectoryStore } from './directory-store.js';
import type { RecordStore } from './record-store.js';
import { createS3RecordStore } from './s3-record-store.js';

/** The store that the config names. Credentials are resolved with the first call, so a worker starts without them. */
export function createRecordStore(
  config: RecordStoreConfig,
  resolveSecret: (reference: string) => Promise<string>,
): Promise<RecordStore> {
  return Promise.resolve(
    config.kind === 'directory' ? createDirectoryStore(config.path) : createS3RecordStore(config, resolveSecret),
  );
}
