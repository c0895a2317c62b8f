/** From the config of an environment to its store's objects. */
import type { StoreConfig } from '../../config/schema.js';
import { createObjectStore, type ObjectStore } from './s3-objects.js';
import type { Patience } from './s3-retry.js';

/** Opens the bucket of a store; the credentials are resolved now and live in the client only. */
export async function openObjects(
  config: StoreConfig,
  resolveSecret: (reference: string) => Promise<string>,
  patience?: Patience,
): Promise<ObjectStore> {
  const [accessKeyId, secretAccessKey] = await Promise.all([
    resolveSecret(config.accessKeyId),
    resolveSecret(config.secretAccessKey),
  ]);
  return createObjectStore(config, { accessKeyId, secretAccessKey }, patience);
}
