/**
 * The shape of recovery.yaml. Unknown keys are refused; `recovery.example.yaml` is the commented form of this file and a test
 * holds the two together. Secrets are references (`env:NAME`, `file:/path`, `op://vault/item/field`), never values.
 */
import { z } from 'zod';

const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,40}$/, 'use lower-case letters, digits and dashes, starting with a letter or digit');
const absolutePath = z.string().regex(/^\//, 'use an absolute path');
const secretRef = z
  .string()
  .regex(/^(env:[A-Za-z_][A-Za-z0-9_]*|file:\/.+|op:\/\/.+)$/, 'use env:NAME, file:/path or op://vault/item/field');

/** `90s`, `15m`, `24h`, `7d` as whole seconds. */
const duration = z
  .string()
  .regex(/^\d+(s|m|h|d)$/, 'use a number and a unit: 90s, 15m, 24h, 7d')
  .transform((text) => {
    const unit = { s: 1, m: 60, h: 3600, d: 86_400 }[text.slice(-1) as 's' | 'm' | 'h' | 'd'];
    return Number(text.slice(0, -1)) * unit;
  });

const gatePolicySchema = z.strictObject({
  required: z.int().min(1).max(9).default(1),
  from: z.array(z.string().min(1)).default([]),
  notRequester: z.boolean().default(false),
  expiresIn: duration.prefault('24h'),
  remindEvery: duration.prefault('15m'),
});

const s3LocationSchema = z.strictObject({
  endpoint: z.url().optional(),
  region: z.string().default('us-east-1'),
  bucket: z.string().min(1),
  prefix: z.string().default(''),
  forcePathStyle: z.boolean().default(true),
  accessKeyId: secretRef,
  secretAccessKey: secretRef,
});

const nodeSchema = z.strictObject({
  name,
  host: name,
  address: z.string().min(1),
  port: z.int().min(1).max(65_535),
  dataDir: absolutePath,
  /** Directory of the server programs of this node's major version. */
  binDir: absolutePath,
  runtime: z.strictObject({
    kind: z.literal('process'),
    /** Operating system user of the server when the worker runs as root. */
    runAs: z.string().optional(),
    /** Where `pg_ctl` lets the server write what it says before its own log is open. */
    logFile: absolutePath.optional(),
  }),
});

const storeSchema = z.discriminatedUnion('kind', [
  s3LocationSchema.extend({
    kind: z.literal('s3'),
    /** Folder of the WAL below the prefix. */
    walPrefix: z.string().default('wal/'),
    compression: z.enum(['none', 'gzip', 'lz4']).default('lz4'),
  }),
]);

const recordStoreSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('directory'), path: absolutePath }),
  s3LocationSchema.extend({
    kind: z.literal('s3'),
    /** Retention of every object, for a bucket that was made with object lock; the bucket's own default when left out. */
    lock: z.strictObject({ mode: z.enum(['governance', 'compliance']), days: z.int().min(1) }).optional(),
  }),
]);

const appSchema = z.strictObject({
  name,
  host: name,
  kind: z.literal('command'),
  stop: z.array(z.string()).min(1),
  start: z.array(z.string()).min(1),
  /** Exit 0: running; 3: stopped; anything else: unknown. */
  status: z.array(z.string()).min(1),
  timeout: duration.prefault('60s'),
});

/** `expect` is a value, a comparison such as `>= 100`, or `no rows`. */
const checkSchema = z.strictObject({
  name: z.string().min(1),
  database: z.string().optional(),
  sql: z.string().min(1),
  expect: z.union([z.string(), z.number(), z.boolean()]),
});

const environmentSchema = z.strictObject({
  postgres: z.strictObject({
    user: z.string().default('postgres'),
    password: secretRef.optional(),
    database: z.string().default('postgres'),
    /** Replication role for bases and standbys; the same user when left out. */
    replicationUser: z.string().optional(),
    replicationPassword: secretRef.optional(),
  }),
  nodes: z.array(nodeSchema).min(1),
  routing: z.strictObject({
    kind: z.literal('multihost'),
    /** libpq URL without a password, several hosts, target_session_attrs=read-write. */
    url: z.string().regex(/^postgres(ql)?:\/\//, 'use a postgresql:// URL'),
  }),
  backups: storeSchema,
  sandbox: z
    .strictObject({
      host: name.optional(),
      /** Directory of sandboxes; beside the data directory when left out, so that a promotion is a rename. */
      dir: absolutePath.optional(),
      ports: z.tuple([z.int().min(1024), z.int().max(65_535)]).default([15_400, 15_499]),
      ttl: duration.prefault('24h'),
      sharedBuffers: z.string().default('256MB'),
    })
    .prefault({}),
  heartbeat: z.strictObject({ enabled: z.boolean().default(true), every: duration.prefault('5s') }).prefault({}),
  apps: z.array(appSchema).default([]),
  approvals: z.record(z.string(), gatePolicySchema).default({}),
  identity: z
    .strictObject({ kind: z.enum(['declared', 'signed']).default('declared'), allowedSigners: absolutePath.optional() })
    .prefault({}),
  checks: z.array(checkSchema).default([]),
  verify: z
    .strictObject({
      amcheck: z.enum(['off', 'heap', 'full']).default('off'),
      rowCounts: z.boolean().default(true),
      statementTimeout: duration.prefault('60s'),
    })
    .prefault({}),
});

export const configSchema = z.strictObject({
  version: z.literal(1),
  temporal: z
    .strictObject({
      address: z.string().optional(),
      namespace: z.string().optional(),
      ui: z.url().optional(),
    })
    .prefault({}),
  /** Where workers keep jobs. */
  stateDir: absolutePath,
  record: recordStoreSchema,
  environments: z.record(name, environmentSchema),
});

export type Config = z.output<typeof configSchema>;
export type EnvironmentConfig = z.output<typeof environmentSchema>;
export type NodeConfig = z.output<typeof nodeSchema>;
export type StoreConfig = z.output<typeof storeSchema>;
export type RecordStoreConfig = z.output<typeof recordStoreSchema>;
export type S3LocationConfig = z.output<typeof s3LocationSchema>;
export type AppConfig = z.output<typeof appSchema>;
export type CheckConfig = z.output<typeof checkSchema>;
