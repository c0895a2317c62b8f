/** Real archives for tests: a throw-away cluster that archives into the directory behind a `directoryObjects` store. */
import { chmod, mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';

import type { StoreContext } from '../../activities/backup-store/timeline-archive.js';
import { parseLsn, type Lsn } from '../../shared/lsn.js';
import { pollUntil } from '../../activities/lib/poll.js';
import { serverDirectory, startCluster, type Cluster, type ClusterOptions } from './cluster.js';
import { directoryObjects, type DirectoryObjects } from './directory-objects.js';

export type TestArchive = {
  cluster: Cluster;
  objects: DirectoryObjects;
  context: StoreContext;
  /** Directory of the archived segments. */
  walDir: string;
  scratchDir: string;
  destroy(): Promise<void>;
};

/** A running cluster with `archive_command = 'cp …'`. */
export async function startArchive(options: ClusterOptions = {}): Promise<TestArchive> {
  const root = await serverDirectory('pgr-archive-');
  const walDir = path.join(root, 'wal');
  await mkdir(walDir);
  await chmod(walDir, 0o777);
  const cluster = await startCluster({
    ...options,
    conf: [
      'archive_mode = on',
      `archive_command = 'test ! -f ${walDir}/%f && cp %p ${walDir}/%f.tmp && mv ${walDir}/%f.tmp ${walDir}/%f'`,
      'max_prepared_transactions = 4',
      'checkpoint_timeout = 1h',
      ...(options.conf ?? []),
    ],
  });
  const objects = directoryObjects(root);
  return {
    cluster,
    objects,
    context: { objects, walPrefix: 'wal/' },
    walDir,
    scratchDir: path.join(root, 'scratch'),
    async destroy() {
      await cluster.destroy();
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** Ends the current segment and waits until it is archived; returns its name. */
export async function switchWal({ cluster, objects }: TestArchive): Promise<string> {
  await cluster.query('select pg_current_xact_id()');
  const [row] = await cluster.query<{ name: string }>('select pg_walfile_name(pg_switch_wal()) as name');
  const name = row!.name;
  const archived = await pollUntil(async () => ((await objects.head(`wal/${name}`)) === null ? null : true), {
    timeoutMs: 20_000,
  });
  if (archived === null) throw new Error(`${name} was not archived`);
  return name;
}

/** One committed transaction; its id and the server's clock just after it. */
export async function commit(cluster: Cluster, sql: string): Promise<{ xid: string; after: string }> {
  const [row] = await cluster.query<{ xid: string; after: string }>(
    `with done as (${sql}) select pg_current_xact_id()::xid::text as xid, '' as after`,
  );
  return { xid: row!.xid, after: await serverTime(cluster) };
}

/** The server's clock in the normal form of times. */
export async function serverTime(cluster: Cluster): Promise<string> {
  const [row] = await cluster.query<{ now: string }>(
    `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as now`,
  );
  return row!.now;
}

export async function currentLsn(cluster: Cluster): Promise<Lsn> {
  const [row] = await cluster.query<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn');
  return parseLsn(row!.lsn)!;
}

export type FakeBase = {
  id: string;
  kind?: 'full' | 'incremental';
  parentId?: string | null;
  systemIdentifier?: string;
  postgresMajor?: number;
};

/**
 * A header of a base with real positions: backup mode is entered and left, no file is copied. Reading an archive never looks at more of a
 * base than its header.
 */
export async function takeFakeBase(archive: TestArchive, base: FakeBase): Promise<void> {
  const { cluster, objects } = archive;
  const startedAt = await serverTime(cluster);
  const positions = await backupMode(cluster, base.id);
  const [facts] = await cluster.query<{ systemIdentifier: string; timeline: number; major: number }>(`
    select (select system_identifier::text from pg_control_system()) as "systemIdentifier",
           ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int as timeline,
           current_setting('server_version_num')::int / 10000 as major`);
  const header = {
    api: 1,
    id: base.id,
    kind: base.kind ?? 'full',
    systemIdentifier: base.systemIdentifier ?? facts!.systemIdentifier,
    postgresMajor: base.postgresMajor ?? facts!.major,
    postgresVersion: '0',
    walSegmentBytes: 16 * 1024 * 1024,
    timeline: facts!.timeline,
    startLsn: positions.start,
    stopLsn: positions.stop,
    startedAt,
    endedAt: await serverTime(cluster),
    parentId: base.parentId ?? null,
    compression: 'lz4',
    tar: 'base.tar.lz4',
    sizes: { bytes: 1_000_000, rawBytes: 4_000_000, restoredBytes: 3_900_000, files: 10, chunks: 1 },
    sha256s: { index: '0'.repeat(64), manifest: '0'.repeat(64) },
    settings: {
      maxConnections: 100,
      maxWorkerProcesses: 8,
      maxWalSenders: 8,
      maxPreparedTransactions: 4,
      maxLocksPerTransaction: 64,
    },
  };
  await objects.put(`bases/${base.id}/base.json`, Buffer.from(JSON.stringify(header)));
}

/** Enters and leaves backup mode; it ends with the session that began it, so one session does both. */
async function backupMode(cluster: Cluster, label: string): Promise<{ start: string; stop: string }> {
  const client = new pg.Client({ connectionString: cluster.url, query_timeout: 60_000 });
  await client.connect();
  try {
    const begun = await client.query<{ lsn: string }>('select pg_backup_start($1, true)::text as lsn', [label]);
    const ended = await client.query<{ lsn: string }>('select lsn::text from pg_backup_stop(false)');
    return { start: begun.rows[0]!.lsn, stop: ended.rows[0]!.lsn };
  } finally {
    await client.end();
  }
}
