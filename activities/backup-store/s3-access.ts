/** From the config of an environment to the credentials of its store. */
import type { S3LocationConfig } from '../../config/schema.js';
import type { S3Credentials } from './s3-client.js';

/** The credentials of a store. They are resolved now and live in a client only. */
export async function readCredentials(
  config: Pick<S3LocationConfig, 'accessKeyId' | 'secretAccessKey'>,
  resolveSecret: (reference: string) => Promise<string>,
): Promise<S3Credentials> {
  const [accessKeyId, secretAccessKey] = await Promise.all([
    resolveSecret(config.accessKeyId),
    resolveSecret(config.secretAccessKey),
  ]);
  return { accessKeyId, secretAccessKey };
}
