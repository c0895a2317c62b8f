/** `pgr lab status`: what there is and whether it runs. Reads only, takes no lock. */
import { readPostmaster } from '../activities/postgres/postmaster.js';
import { findWriter } from './app-control.js';
import { openLab } from './open.js';
import { queryNode } from './node-query.js';
import {
  LAB_APP_USER,
  LAB_BUCKET,
  LAB_DATABASE,
  LAB_NAMESPACE,
  LAB_SUPERUSER,
  NODES,
  type LabPaths,
  type NodeName,
} from './paths.js';
import type { Extra } from './extras.js';
import { isPoolThere } from './pool.js';
import { ownDaemon } from './zfs-daemon.js';
import { pgbouncerSignature } from './pooler.js';
import { findRunning } from './process.js';
import { haproxySignature, healthSignature } from './proxy.js';
import { s3Endpoint, temporalUi, writeUrl } from './recovery-config.js';
import { s3Signature } from './s3.js';
import { readSecret } from './secrets.js';
import { requireState, type LabProcess, type LabState } from './state.js';
import { temporalSignature } from './temporal.js';
import { workerSignature } from './worker.js';

type NodeStatus = {
  name: NodeName;
  /** With the superuser's password: it is a lab. */
  url: string;
  port: number;
  dataDir: string;
  pid: number | null;
  role: 'primary' | 'standby' | 'down' | 'unknown';
};

export type LabStatus = {
  dir: string;
  realDir: string;
  state: 'up' | 'partly' | 'down';
  config: string;
  temporal: { address: string; ui: string; namespace: string; pid: number | null };
  s3: { endpoint: string; bucket: string; accessKeyId: string; secretAccessKey: string; pid: number | null };
  nodes: NodeStatus[];
  /** As the application writes: with its password. */
  write: { url: string };
  workers: { role: 'all'; pid: number | null }[];
  writer: { pid: number | null };
  /** Between the application and the nodes; empty without `--with`. */
  extras: { name: string; address: string; pid: number | null }[];
  tools: { temporal: string; postgresBin: string; weed: string };
};

/** Reads everything anew. Throws NotFound when there is no lab. */
export async function labStatus(dir: string): Promise<LabStatus> {
  const { location, paths } = await openLab(dir);
  const state = await requireState(paths);
  const pidOf = async (
    recorded: LabState['processes'][keyof LabState['processes']],
    signature: string[],
  ): Promise<number | null> => (await findRunning(recorded, signature))?.pid ?? null;
  const [temporalPid, s3Pid, workerPid, writer, nodes] = await Promise.all([
    pidOf(state.processes.temporal, temporalSignature(paths)),
    pidOf(state.processes.s3, s3Signature(paths)),
    pidOf(state.processes.worker, workerSignature(paths)),
    findWriter(paths),
    Promise.all(NODES.map((node) => nodeStatus(paths, state, node))),
  ]);
  const extras = await readExtras(paths, state);
  const pids = [temporalPid, s3Pid, workerPid, ...extras.map(({ pid }) => pid), ...nodes.map(({ pid }) => pid)];
  return {
    dir: location.shownDir,
    realDir: location.realDir,
    state: summarise(pids),
    config: paths.config,
    temporal: { ...temporalAddress(state), pid: temporalPid },
    s3: { endpoint: s3Endpoint(state.ports), bucket: LAB_BUCKET, ...(await s3Keys(paths)), pid: s3Pid },
    nodes,
    write: { url: writeUrl(state.extras ?? [], state.ports, `${LAB_APP_USER}:${await readSecret(paths, 'shop')}`) },
    workers: [{ role: 'all', pid: workerPid }],
    writer: { pid: writer?.pid ?? null },
    extras,
    tools: { temporal: state.tools.temporal.path, postgresBin: state.tools.postgres.path, weed: state.tools.weed.path },
  };
}

async function readExtras(paths: LabPaths, { extras = [], ports, processes }: LabState): Promise<LabStatus['extras']> {
  const rows: { of: Extra; name: LabProcess; signature: string[]; port: number }[] = [
    { of: 'haproxy', name: 'haproxy', signature: haproxySignature(paths), port: ports.haproxyWrite },
    { of: 'haproxy', name: 'healthDallas', signature: healthSignature(paths, 'dallas'), port: ports.healthDallas },
    { of: 'haproxy', name: 'healthChicago', signature: healthSignature(paths, 'chicago'), port: ports.healthChicago },
    { of: 'pgbouncer', name: 'pgbouncer', signature: pgbouncerSignature(paths), port: ports.pgbouncer },
  ];
  const programs = await Promise.all(
    rows
      .filter(({ of }) => extras.includes(of))
      .map(async ({ name, signature, port }) => ({
        name,
        address: `127.0.0.1:${String(port)}`,
        pid: (await findRunning(processes[name], signature))?.pid ?? null,
      })),
  );
  // The pool is no process: what counts is that it is imported.
  if (!extras.includes('zfs')) return programs;
  const there = await isPoolThere(paths);
  const daemon = await ownDaemon();
  return [...programs, { name: 'zfs', address: paths.poolFile, pid: there ? (daemon?.pid ?? 0) : null }];
}

/** Up: all of it. The writer does not count: a recovery stops it on purpose. */
export function summarise(pids: readonly (number | null)[]): LabStatus['state'] {
  const running = pids.filter((pid) => pid !== null).length;
  if (running === 0) return 'down';
  return running === pids.length ? 'up' : 'partly';
}

function temporalAddress({ ports }: LabState): { address: string; ui: string; namespace: string } {
  return { address: `127.0.0.1:${ports.temporal}`, ui: temporalUi(ports), namespace: LAB_NAMESPACE };
}

async function s3Keys(paths: LabPaths): Promise<{ accessKeyId: string; secretAccessKey: string }> {
  const [accessKeyId, secretAccessKey] = await Promise.all([
    readSecret(paths, 's3-access-key-id'),
    readSecret(paths, 's3-secret-access-key'),
  ]);
  return { accessKeyId, secretAccessKey };
}

async function nodeStatus(paths: LabPaths, state: LabState, node: NodeName): Promise<NodeStatus> {
  const dataDir = paths.dataDir(node);
  const port = state.ports[node];
  const password = await readSecret(paths, 'postgres');
  const postmaster = await readPostmaster(dataDir);
  return {
    name: node,
    url: `postgresql://${LAB_SUPERUSER}:${password}@127.0.0.1:${port}/${LAB_DATABASE}`,
    port,
    dataDir,
    pid: postmaster.state === 'running' ? postmaster.pid : null,
    role: postmaster.state === 'stopped' ? 'down' : await readRole(paths, state, node),
  };
}

async function readRole(paths: LabPaths, state: LabState, node: NodeName): Promise<NodeStatus['role']> {
  try {
    const [row] = await queryNode<{ standby: boolean }>(paths, state, node, 'select pg_is_in_recovery() as standby');
    return row?.standby === true ? 'standby' : 'primary';
  } catch {
    return 'unknown';
  }
}
