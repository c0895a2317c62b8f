/** Where everything of a lab lies. Pure: names are functions of the directory. */
import { join } from 'node:path';

export const NODES = ['dallas', 'chicago'] as const;
export type NodeName = (typeof NODES)[number];

/** Name of the environment in the lab's recovery.yaml, and of the Temporal namespace, bucket and database. */
export const LAB_ENVIRONMENT = 'lab';
export const LAB_NAMESPACE = 'pgr';
export const LAB_BUCKET = 'pgr-backups';
export const LAB_DATABASE = 'shop';
export const LAB_APP_USER = 'shop';
export const LAB_SUPERUSER = 'postgres';
export const LAB_REPLICATION_USER = 'replicator';
/** Of the pooler's admin console; it is no role of the database. */
export const LAB_POOLER_USER = 'pgbouncer';
/** The application in recovery.yaml that keeps inserting orders. */
export const LAB_APP = 'writer';

export type SecretName = 'postgres' | 'replicator' | 'shop' | 'pgbouncer' | 's3-access-key-id' | 's3-secret-access-key';
export const SECRET_NAMES: readonly SecretName[] = [
  'postgres',
  'replicator',
  'shop',
  'pgbouncer',
  's3-access-key-id',
  's3-secret-access-key',
];

export type LabPaths = ReturnType<typeof labPaths>;

/** All paths of the lab in `dir` (absolute, without symbolic links: servers and configs compare them as text). */
export function labPaths(dir: string) {
  return {
    dir,
    marker: join(dir, '.pgr-lab.json'),
    state: join(dir, 'lab.json'),
    lockDir: join(dir, 'lock'),
    config: join(dir, 'recovery.yaml'),
    secretsDir: join(dir, 'secrets'),
    secret: (name: SecretName): string => join(dir, 'secrets', name),
    /** libpq's password file of the standby. */
    replicationPassFile: join(dir, 'secrets', 'replicator.pgpass'),
    toolsDir: join(dir, 'tools'),
    binDir: join(dir, 'bin'),
    logsDir: join(dir, 'logs'),
    log: (name: string): string => join(dir, 'logs', `${name}.log`),
    temporalDir: join(dir, 'temporal'),
    temporalDb: join(dir, 'temporal', 'temporal.db'),
    s3Dir: join(dir, 's3'),
    s3DataDir: join(dir, 's3', 'data'),
    s3Config: join(dir, 's3', 's3.json'),
    nodesDir: join(dir, 'nodes'),
    nodeDir: (node: NodeName): string => join(dir, 'nodes', node),
    dataDir: (node: NodeName): string => join(dir, 'nodes', node, 'data'),
    /** A data directory that is being made; what stands here after a crash is thrown away. */
    newDataDir: (node: NodeName): string => join(dir, 'nodes', node, 'data.new-lab'),
    serverLog: (node: NodeName): string => join(dir, 'nodes', node, 'server.log'),
    haproxyConfig: join(dir, 'proxy', 'haproxy.cfg'),
    pgbouncerConfig: join(dir, 'pooler', 'pgbouncer.ini'),
    pgbouncerUsers: join(dir, 'pooler', 'users.txt'),
    /** The vdev of the lab's ZFS pool, where it has one. */
    poolFile: join(dir, 'zfs', 'pool'),
    recordDir: join(dir, 'record'),
    stateDir: join(dir, 'state'),
    writerState: join(dir, 'writer.json'),
    writerLockDir: join(dir, 'writer.lock'),
  };
}
