/**
 * The little of recovery.yaml that archiving needs. Read without the whole schema, for two reasons: loading that takes as long as archiving a
 * segment, and a mistake somewhere else in the file must not stop the archive (a full pg_wal stops production). Defaults are those of
 * config/schema.ts; a test holds the two together.
 */
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';

import type { S3StoreConfig } from '../../config/schema.js';
import { stepFailure } from '../lib/failure.js';

const COMPRESSIONS = ['none', 'gzip', 'lz4'] as const;

/** The backup store of `environment`. Throws ConfigInvalid or EnvironmentUnknown. */
export async function readStoreConfig(configPath: string, environment: string): Promise<S3StoreConfig> {
  const text = await readFile(configPath, 'utf8').catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    throw stepFailure('ConfigInvalid', `cannot read the config: ${why}`);
  });
  return parseStoreConfig(text, environment);
}

/** {@link readStoreConfig} for a text. */
export function parseStoreConfig(text: string, environment: string): S3StoreConfig {
  const environments = mapOf(mapOf(parse(text))['environments']);
  if (!Object.hasOwn(environments, environment)) {
    throw stepFailure('EnvironmentUnknown', `there is no environment "${environment}" in the config`);
  }
  const at = `environments.${environment}.backups`;
  const backups = mapOf(mapOf(environments[environment])['backups']);
  if (backups['kind'] !== 's3') throw stepFailure('ConfigInvalid', `${at}.kind: wal-push serves stores of kind s3`);
  const word = (name: string, fallback?: string): string => {
    const value = backups[name] ?? fallback;
    if (typeof value === 'string') return value;
    throw stepFailure('ConfigInvalid', `${at}.${name}: expected a string`);
  };
  const compression = COMPRESSIONS.find((one) => one === word('compression', 'lz4'));
  if (compression === undefined)
    throw stepFailure('ConfigInvalid', `${at}.compression: use ${COMPRESSIONS.join(', ')}`);
  return {
    kind: 's3',
    ...(backups['endpoint'] === undefined ? {} : { endpoint: word('endpoint') }),
    region: word('region', 'us-east-1'),
    bucket: word('bucket'),
    prefix: word('prefix', ''),
    forcePathStyle: backups['forcePathStyle'] !== false,
    accessKeyId: word('accessKeyId'),
    secretAccessKey: word('secretAccessKey'),
    walPrefix: word('walPrefix', 'wal/'),
    compression,
  };
}

function mapOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
