/** Argument arrays of the programs that the lab starts. Pure. */
import { LAB_NAMESPACE, LAB_REPLICATION_USER, type LabPaths, type NodeName } from './paths.js';
import type { LabPorts } from './ports.js';

export const SEARCH_ATTRIBUTES = ['PgrEnvironment', 'PgrRunbook', 'PgrStep', 'PgrStatus', 'PgrTarget'] as const;

/** The Temporal development server with everything on fixed loopback ports (some are random unless given). */
export function temporalArgs(paths: LabPaths, ports: LabPorts): string[] {
  return [
    'server',
    'start-dev',
    '--ip',
    '127.0.0.1',
    '--port',
    String(ports.temporal),
    '--ui-port',
    String(ports.temporalUi),
    '--http-port',
    String(ports.temporalHttp),
    '--metrics-port',
    String(ports.temporalMetrics),
    '--db-filename',
    paths.temporalDb,
    '--namespace',
    LAB_NAMESPACE,
    '--log-level',
    'warn',
    '--ui-disable-news-fetch',
    ...SEARCH_ATTRIBUTES.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
  ];
}

/** The development server's own default is one day: a run must be readable for a quarter. */
export function retentionArgs(ports: LabPorts): string[] {
  return [
    'operator',
    'namespace',
    'update',
    '--namespace',
    LAB_NAMESPACE,
    '--retention',
    '90d',
    '--address',
    `127.0.0.1:${ports.temporal}`,
  ];
}

/** SeaweedFS as one process: master, volume server, filer, S3. Loopback only, no telemetry, volumes that grow in small steps. */
export function weedArgs(paths: LabPaths, ports: LabPorts): string[] {
  return [
    '-logtostderr=true',
    'server',
    '-ip=127.0.0.1',
    '-ip.bind=127.0.0.1',
    `-dir=${paths.s3DataDir}`,
    `-master.port=${ports.weedMaster}`,
    `-master.port.grpc=${ports.weedMasterGrpc}`,
    '-master.telemetry=false',
    // One master elects itself; with the defaults a restart waits up to 20 s for others.
    '-master.electionTimeout=500ms',
    '-master.heartbeatInterval=100ms',
    '-master.volumeSizeLimitMB=512',
    `-volume.port=${ports.weedVolume}`,
    `-volume.port.grpc=${ports.weedVolumeGrpc}`,
    '-volume.max=0',
    // The default waits 10 s before it stops, for other volume servers to notice; there are none.
    '-volume.preStopSeconds=0',
    '-filer',
    `-filer.port=${ports.weedFiler}`,
    `-filer.port.grpc=${ports.weedFilerGrpc}`,
    '-s3',
    `-s3.port=${ports.s3}`,
    `-s3.port.grpc=${ports.s3Grpc}`,
    '-s3.port.iceberg=0',
    '-s3.port.lance=0',
    '-s3.autoCreateBucket=false',
    `-s3.config=${paths.s3Config}`,
  ];
}

/** Identities of the S3 server: one key that may do everything in the lab's buckets. */
export function weedIdentities(accessKey: string, secretKey: string): string {
  const actions = ['Admin', 'Read', 'Write', 'List', 'Tagging'];
  return `${JSON.stringify({ identities: [{ name: 'lab', credentials: [{ accessKey, secretKey }], actions }] }, null, 2)}\n`;
}

/** A new cluster with checksums, passwords from a file, no sync of its own (the seed syncs once at its end). */
export function initdbArgs(dataDir: string, passwordFile: string): string[] {
  return [
    '--pgdata',
    dataDir,
    '--username',
    'postgres',
    '--pwfile',
    passwordFile,
    '--auth',
    'scram-sha-256',
    '--data-checksums',
    '--encoding',
    'UTF8',
    '--locale',
    'C',
    '--no-sync',
    '--no-instructions',
  ];
}

/** Settings of the server that fills a new cluster: nothing of it is worth archiving or syncing until it is complete. */
export function seedServerOptions(port: number): string[] {
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    archive_mode: 'off',
    wal_level: 'minimal',
    max_wal_senders: '0',
    summarize_wal: 'off',
    fsync: 'off',
    full_page_writes: 'off',
    max_wal_size: '4GB',
    shared_buffers: '256MB',
    maintenance_work_mem: '256MB',
    autovacuum: 'off',
    timezone: 'UTC',
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** Name of the physical slot through which a standby streams. */
export function slotOf(node: NodeName): string {
  return `${node}_slot`;
}

/** The standby made from its primary; `-R` writes these connection settings, the password stays in its file. */
export function standbyArgs(options: {
  primaryPort: number;
  passFile: string;
  node: NodeName;
  dataDir: string;
}): string[] {
  const connection = [
    'host=127.0.0.1',
    `port=${options.primaryPort}`,
    `user=${LAB_REPLICATION_USER}`,
    `passfile='${options.passFile.replace(/[\\']/g, '\\$&')}'`,
    `application_name=${options.node}`,
  ].join(' ');
  return [
    '--dbname',
    connection,
    '--pgdata',
    options.dataDir,
    '--wal-method=stream',
    '--slot',
    slotOf(options.node),
    '--create-slot',
    '--write-recovery-conf',
    '--checkpoint=fast',
    '--no-password',
  ];
}

/** Our worker with all roles, after `node`. */
export function workerArgs(distDir: string, paths: LabPaths): string[] {
  return [`${distDir}/workers/main.js`, 'worker', '--all', '--config', paths.config];
}

/** The writing application, after `node`. */
export function writerArgs(distDir: string, paths: LabPaths): string[] {
  return [`${distDir}/lab/writer.js`, '--writer-of', paths.dir];
}
