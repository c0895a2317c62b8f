/**
 * The shape of recovery.yaml. Unknown keys are refused; `recovery.example.yaml` is the commented form of this file and a test
 * holds the two together. Secrets are references (config/schema-parts.ts), never values.
 */
import { z } from 'zod';

import { controllerSchema } from './controller-schema.js';
import { channelSchema } from './notify.js';
import { devSchema, type dumpSourceSchema } from './schema-dev.js';
import { absolutePath, duration, name, s3LocationSchema, secretRef } from './schema-parts.js';

const gatePolicySchema = z.strictObject({
  required: z.int().min(1).max(9).default(1),
  from: z.array(z.string().min(1)).default([]),
  notRequester: z.boolean().default(false),
  expiresIn: duration.prefault('24h'),
  remindEvery: duration.prefault('15m'),
});

/** How the server of a node is run (architecture section 10). */
const runtimeSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('process'),
    /** Operating system user of the server when the worker runs as root. */
    runAs: z.string().optional(),
    /** Where `pg_ctl` lets the server write what it says before its own log is open. */
    logFile: absolutePath.optional(),
  }),
  z.strictObject({
    kind: z.literal('docker'),
    /** Container; for a Kamal accessory `<service>-<accessory>`. */
    container: z.string().min(1),
    /** Docker endpoint, e.g. unix:///run/docker.sock; that of the environment when left out. */
    dockerHost: z.string().optional(),
    /** Directory of Kamal's lock on this host, e.g. /root/.kamal/lock-shop; taken while the container is stopped or started. */
    kamalLock: absolutePath.optional(),
    /** Data directory as the server in the container sees it; `dataDir` is the same directory on the host. */
    containerDataDir: absolutePath.default('/var/lib/postgresql/18/docker'),
    /** Image of the containers of pgr (sandboxes, the end of a recovery) where there is no `container` to take it from. */
    image: z.string().min(1).optional(),
  }),
  z.strictObject({
    kind: z.literal('systemd'),
    /** Unit of this instance, e.g. postgresql@18-main.service: never the umbrella unit. */
    unit: z.string().min(1),
    /** Call systemctl through `sudo -n`. */
    sudo: z.boolean().default(false),
  }),
]);

/** What answers for a node over HTTP whether it takes writes: our own pg-health, one that a team has, or Patroni. */
const healthSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('pgr'),
    port: z.int().min(1).max(65_535),
    /** Address that `pgr pg-health` listens on, and that routers ask. */
    listen: z.string().default('127.0.0.1'),
  }),
  z.strictObject({ kind: z.literal('http'), primary: z.url(), replica: z.url().optional() }),
  z.strictObject({ kind: z.literal('patroni'), url: z.url() }),
]);

/** Where the safety copy of the node's data goes before anything of them is touched. */
const snapshotSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('directory') }),
  z.strictObject({ kind: z.literal('zfs'), dataset: z.string().min(1), sudo: z.boolean().default(false) }),
  z.strictObject({ kind: z.literal('btrfs'), sudo: z.boolean().default(false) }),
]);

const haproxySchema = z.strictObject({
  name,
  /** Runtime API with level admin: a socket on the worker's host or `host:port`. */
  api: z.string().min(1),
  /** Statistics page (`http://…/stats`): read when the runtime API does not answer. */
  stats: z.url().optional(),
});

/** libpq URL of the write address, without a password, with target_session_attrs=read-write. */
const writeUrl = z.string().regex(/^postgres(ql)?:\/\//, 'use a postgresql:// URL');

const routingSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('multihost'), url: writeUrl }),
  z.strictObject({
    kind: z.literal('haproxy'),
    /** The write VIP. */
    url: writeUrl,
    backend: z.string().min(1).default('postgres_write'),
    /** Names of servers in the backend, by node; the node's own name when left out. */
    servers: z.record(name, z.string().min(1)).default({}),
    instances: z.array(haproxySchema).min(1),
  }),
]);

const poolerSchema = z.strictObject({
  name,
  kind: z.literal('pgbouncer'),
  address: z.string().min(1),
  port: z.int().min(1).max(65_535),
  /** A user of `admin_users`. */
  user: z.string().default('pgbouncer'),
  password: secretRef.optional(),
  /** Databases to pause; all when left out. */
  databases: z.array(z.string().min(1)).default([]),
  pauseTimeout: duration.prefault('5s'),
  /** What happens when transactions do not end in that time. */
  onTimeout: z.enum(['give-up', 'cancel', 'wait']).default('give-up'),
  /** Node whose local pooler it is: restarted when that node was rebuilt. */
  node: name.optional(),
});

const nodeSchema = z.strictObject({
  name,
  host: name,
  address: z.string().min(1),
  port: z.int().min(1).max(65_535),
  dataDir: absolutePath,
  /** Directory of the server programs of this node's major version. */
  binDir: absolutePath,
  /** postgresql.conf where it does not lie in `dataDir`, e.g. /etc/postgresql/18/main/postgresql.conf. For docker the container's own arguments say it. */
  configFile: absolutePath.optional(),
  runtime: runtimeSchema,
  health: healthSchema.optional(),
  snapshot: snapshotSchema.prefault({ kind: 'directory' }),
});

const storeSchema = z.discriminatedUnion('kind', [
  s3LocationSchema.extend({
    kind: z.literal('s3'),
    /** Folder of the WAL below the prefix. */
    walPrefix: z.string().default('wal/'),
    compression: z.enum(['none', 'gzip', 'lz4']).default('lz4'),
  }),
  /** A bucket that barman-cloud or CloudNativePG writes; it is only read. */
  s3LocationSchema.extend({
    kind: z.literal('barman-cloud'),
    prefix: z
      .string()
      .regex(/^$|[^/]\/$/, 'end it with a slash: s3://bucket/shop is the prefix shop/')
      .default(''),
    /** Name of the server below the prefix: barman's server name, the `serverName` of CloudNativePG (else the name of the cluster). */
    server: z.string().regex(/^[A-Za-z0-9._-]+$/, 'use the name of the folder that holds base/ and wals/'),
  }),
  /** The bucket of a Databasus controller, read without it. */
  s3LocationSchema.extend({
    kind: z.literal('databasus-bucket'),
    /** The controller's secret.key. */
    secretKey: secretRef,
    /** Which cluster it is; needed when the bucket has several. */
    systemIdentifier: z
      .string()
      .regex(/^\d{1,20}$/, 'use the number that pg_controldata prints, in quotes')
      .optional(),
    /** Id of the database in the controller. */
    databaseId: z.string().min(1).optional(),
    /** Older ones are a finding of `pgr check`. */
    maxBaseAge: duration.prefault('8d'),
    maxWalAge: duration.prefault('1h'),
  }),
  /** A Databasus controller, through its API. */
  z.strictObject({
    kind: z.literal('databasus'),
    /** Address of the controller, without a path. */
    url: z.url({ protocol: /^https?$/ }),
    /** Login name: an e-mail address, or `admin`. */
    email: z.string().min(1),
    password: secretRef,
    /** The user who pauses backups and asks for bases (a member of the workspace); the same user when left out. */
    operator: z.strictObject({ email: z.string().min(1), password: secretRef }).optional(),
    /** Name or id; needed when the user sees several workspaces with a database of that name. */
    workspace: z.string().min(1).optional(),
    /** Name or id of the physical database; needed when the user sees several. */
    database: z.string().min(1).optional(),
    systemIdentifier: z
      .string()
      .regex(/^\d{1,20}$/, 'use the number that pg_controldata prints, in quotes')
      .optional(),
    /** Older ones are a finding of `pgr check`. */
    maxBaseAge: duration.prefault('8d'),
    maxWalAge: duration.prefault('1h'),
    controller: controllerSchema.optional(),
  }),
  /** A repository of pgBackRest, read and restored by pgBackRest itself. */
  z.strictObject({
    kind: z.literal('pgbackrest'),
    stanza: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'use the name of the stanza as pgbackrest.conf has it'),
    /** How it is started on the hosts of the nodes; as root it runs as the owner of the data directory. */
    command: z.array(z.string().min(1)).min(1).default(['pgbackrest']),
    /** How `backup` and `annotate` are started where they have to run on a repository host. */
    backupCommand: z.array(z.string().min(1)).min(1).optional(),
    /** Key of the repository; pgBackRest's own order when left out. */
    repo: z.int().min(1).max(256).optional(),
    /** Processes of one restore; as many as there are processors (at most 8) when left out. */
    processMax: z.int().min(1).max(999).optional(),
    /** Refuses a stanza that has no backups of this cluster. */
    systemIdentifier: z
      .string()
      .regex(/^\d{1,20}$/, 'use the number that pg_controldata prints, in quotes')
      .optional(),
  }),
  /** A Barman, driven through its own commands. */
  z.strictObject({
    kind: z.literal('barman'),
    /** Name of the server in Barman's configuration. */
    server: z
      .string()
      .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]*$/, 'use the name in brackets in the configuration of Barman'),
    /** How Barman is called where it runs, e.g. [barman, -c, /etc/barman.conf] or [sudo, -n, -u, barman, barman]. */
    command: z.array(z.string().min(1)).min(1).default(['barman']),
    /** For a Barman on another machine, or of a user whose files the worker may not read. */
    remote: z
      .strictObject({
        /** Destination of ssh: the user of Barman, where Barman runs. */
        host: z.string().regex(/^[^-\s]\S*$/, 'use user@host'),
        sshOptions: z.array(z.string().min(1)).default([]),
        /** How Barman reaches the host of sandboxes: the command of --remote-ssh-command, e.g. ssh postgres@db1. */
        back: z.string().min(1),
      })
      .optional(),
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
  routing: routingSchema,
  poolers: z.array(poolerSchema).default([]),
  flip: z
    .strictObject({
      mode: z.enum(['stop', 'cut']).default('stop'),
      /** A standby that is further behind is refused. */
      maxLagBytes: z
        .int()
        .min(0)
        .default(16 * 1024 * 1024),
      /** How long the old primary may take to stop before the flip is undone. */
      stopTimeout: duration.prefault('60s'),
    })
    .prefault({}),
  /** The store that production archives to and that takes its bases. */
  backups: storeSchema,
  /** Further stores that a recovery may come from, by name; they are only read. */
  otherBackups: z.record(name, storeSchema).default({}),
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
  /** Refreshing the databases of developers. */
  dev: devSchema.optional(),
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
      /** Port of the server that `pgr restore-dev` starts when there is no address. */
      embeddedPort: z.int().min(1024).max(65_535).default(7233),
    })
    .prefault({}),
  /** Where workers keep jobs. */
  stateDir: absolutePath,
  record: recordStoreSchema,
  /** Whom to tell, and how; the log of the worker always has it. */
  notify: z.array(channelSchema).default([]),
  environments: z.record(name, environmentSchema),
});

/** Name of the store under `backups`. */
export const MAIN_STORE = 'main';

export type Config = z.output<typeof configSchema>;
export type EnvironmentConfig = z.output<typeof environmentSchema>;
export type NodeConfig = z.output<typeof nodeSchema>;
export type StoreConfig = z.output<typeof storeSchema>;
/** A bucket with our own layout. */
export type S3StoreConfig = Extract<StoreConfig, { kind: 's3' }>;
export type PgbackrestConfig = Extract<StoreConfig, { kind: 'pgbackrest' }>;
export type BarmanCloudConfig = Extract<StoreConfig, { kind: 'barman-cloud' }>;
export type BarmanConfig = Extract<StoreConfig, { kind: 'barman' }>;
export type DatabasusConfig = Extract<StoreConfig, { kind: 'databasus' }>;
export type DatabasusBucketConfig = Extract<StoreConfig, { kind: 'databasus-bucket' }>;
export type RecordStoreConfig = z.output<typeof recordStoreSchema>;
export type S3LocationConfig = z.output<typeof s3LocationSchema>;
export type AppConfig = z.output<typeof appSchema>;
export type CheckConfig = z.output<typeof checkSchema>;

export type DevConfig = z.output<typeof devSchema>;
export type DumpSourceConfig = z.output<typeof dumpSourceSchema>;

export type HaproxyConfig = z.output<typeof haproxySchema>;
export type PoolerConfig = z.output<typeof poolerSchema>;
export type HealthConfig = z.output<typeof healthSchema>;
