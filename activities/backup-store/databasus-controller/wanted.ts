/** Requests of the controller as the config wants storage, databases and settings, and how what is there differs. Pure. */
import type { BackupControllerConfig } from '../../../config/controller-schema.js';
import type { DatabasusBucketConfig } from '../../../config/schema.js';
import type { BackupConfig, DatabaseRow } from '../databasus-api/schemas.js';
import type { Body, StorageRow } from './admin-api.js';

export type WantedDatabase = BackupControllerConfig['databases'][number];

const PHYSICAL = 'POSTGRES_PHYSICAL';

/** The bucket as the controller addresses it. It adds the slash behind the prefix itself. */
export function storageBody(
  { storage }: Pick<BackupControllerConfig, 'storage'>,
  bucket: DatabasusBucketConfig,
  workspaceId: string,
  credentials: { accessKeyId: string; secretAccessKey: string },
): Body {
  return {
    name: storage.name,
    type: 'S3',
    workspaceId,
    s3Storage: {
      s3Bucket: bucket.bucket,
      s3Region: bucket.region,
      s3AccessKey: credentials.accessKeyId,
      s3SecretKey: credentials.secretAccessKey,
      s3Endpoint: endpointOf({ storage }, bucket),
      s3Prefix: prefixOf(bucket),
      s3UseVirtualHostedStyle: !bucket.forcePathStyle,
      skipTLSVerify: false,
      s3StorageClass: '',
    },
  };
}

/** How a storage of the same name differs from the bucket of the config. */
export function storageDifferences(
  { s3Storage, type }: StorageRow,
  section: Pick<BackupControllerConfig, 'storage'>,
  bucket: DatabasusBucketConfig,
): string[] {
  if (!s3Storage) return [`it is of type ${type}, not S3`];
  return differences([
    ['bucket', s3Storage.s3Bucket, bucket.bucket],
    ['endpoint', s3Storage.s3Endpoint, endpointOf(section, bucket)],
    ['prefix', s3Storage.s3Prefix.replace(/^\/+|\/+$/g, ''), prefixOf(bucket)],
  ]);
}

/** A database as it is added. */
export function databaseBody(wanted: WantedDatabase, workspaceId: string, password: string): Body {
  const { name, backupType, host, port, user, sslMode } = wanted;
  return {
    workspaceId,
    name,
    type: PHYSICAL,
    notifiers: [],
    postgresqlPhysical: { backupType, host, port, username: user, password, sslMode },
  };
}

/** How a database of the same name differs from the one of the config. */
export function databaseDifferences(row: DatabaseRow, wanted: WantedDatabase): string[] {
  const { postgresqlPhysical: physical, type } = row;
  if (type !== PHYSICAL || !physical) return [`it is of type ${type}`];
  return differences([
    ['host', physical.host ?? '', wanted.host],
    ['port', String(physical.port ?? ''), String(wanted.port)],
    ['backup type', physical.backupType ?? '', wanted.backupType],
  ]);
}

/** Settings of a database with its backups on; everything that the config says nothing about stays as it is. */
export function enabledConfig(current: BackupConfig, wanted: WantedDatabase, storageId: string): BackupConfig {
  return {
    ...current,
    isBackupsEnabled: true,
    fullBackupInterval: wanted.full,
    incrementalBackupInterval: wanted.incremental,
    retention: 'CHAINS',
    chainsRetention: { count: wanted.keepChains },
    walLagThresholdBytes: wanted.walLagBytes,
    storage: { id: storageId },
    encryption: 'ENCRYPTED',
  };
}

/** What in the settings of a database is not as the config wants it. The controller fills in fields, so only ours are compared. */
export function configDifferences(current: BackupConfig, wanted: WantedDatabase, storageId: string): string[] {
  const target = enabledConfig(current, wanted, storageId);
  return differences(
    Object.keys(target)
      .filter((name) => name !== 'storage')
      .map((name): Difference => [name, textOf(current[name], target[name]), textOf(target[name], target[name])])
      .concat([['storage', storageIdOf(current), storageId]]),
  );
}

/** Id of the storage into which a database is backed up; empty when none is set. */
export function storageIdOf({ storage }: BackupConfig): string {
  if (typeof storage !== 'object' || storage === null || !('id' in storage)) return '';
  return typeof storage.id === 'string' ? storage.id : '';
}

/** Values of the fields that `like` has. */
function textOf(value: unknown, like: unknown): string {
  if (typeof like !== 'object' || like === null || Array.isArray(like)) return JSON.stringify(value ?? null);
  const fields = (value ?? {}) as Record<string, unknown>;
  return JSON.stringify(Object.fromEntries(Object.keys(like).map((name) => [name, fields[name] ?? null])));
}

type Difference = [what: string, found: string, wanted: string];

function differences(all: readonly Difference[]): string[] {
  return all.flatMap(([what, found, wanted]) => (found === wanted ? [] : [`${what} is ${found}, not ${wanted}`]));
}

function endpointOf({ storage }: Pick<BackupControllerConfig, 'storage'>, { endpoint }: DatabasusBucketConfig): string {
  return storage.endpoint ?? endpoint ?? '';
}

function prefixOf({ prefix }: DatabasusBucketConfig): string {
  return prefix.replace(/^\/+|\/+$/g, '');
}
