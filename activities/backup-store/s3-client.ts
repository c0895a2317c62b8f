/** The S3 client as this project uses it. */
import { S3Client } from '@aws-sdk/client-s3';

import type { S3LocationConfig } from '../../config/schema.js';

export type S3Credentials = { accessKeyId: string; secretAccessKey: string };

/**
 * A client for `location`. Retries are ours (see s3-retry.ts), because the client's own start a broken download from its first
 * byte again. The trailing checksums that newer clients add by default are off: many S3 servers do not know them, and a PUT of a
 * buffer is signed over its SHA-256 anyway, which the server verifies.
 */
export function createS3Client(location: S3LocationConfig, credentials: S3Credentials): S3Client {
  // Its advice to use a newer Node goes to stderr, and stderr of an archive_command is the server's log.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';
  return new S3Client({
    region: location.region,
    ...(location.endpoint === undefined ? {} : { endpoint: location.endpoint }),
    forcePathStyle: location.forcePathStyle,
    credentials,
    maxAttempts: 1,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      // 5 s to connect: loopback to another continent. 30 s without a byte: the connection is dead, a new one is cheaper.
      connectionTimeout: 5_000,
      socketTimeout: 30_000,
      httpAgent: { keepAlive: true, maxSockets: 64 },
      httpsAgent: { keepAlive: true, maxSockets: 64 },
    },
  });
}
