/** Ways to get a standby back, each measured once: from the decision to a standby that streams. */
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { createSnapshots } from '../activities/snapshot/create-snapshots.js';
import { dataControl } from '../activities/postgres/data-control.js';
import { loadConfig } from '../config/load.js';
import type { RunView } from '../shared/contracts/status.js';
import { until as untilSeen } from './flip-lab.js';
import { freePorts, runProgram } from './processes.js';
import { conninfo, give, login, removeDirectory, setPort, type Pair, type PairNode } from './rebuild-pair.js';
import { BENCH_ENVIRONMENT, query, until } from './setup.js';

export type Rebuilt = {
  totalSeconds: number;
  /** Of ours, by step; empty of a script. */
  steps: Record<string, number>;
  /** Of ours: the programs that the steps ran as jobs, by job. */
  programs: Record<string, number>;
};

export type RebuildWay = { name: string; measure: (pair: Pair) => Promise<Rebuilt> };

const STEPS = ['stop-standby', 'take-safety-copy', 'copy-data', 'start-standby'];
/** Commits that only the old primary has, and those that the new one makes meanwhile. */
const LOST_TRANSACTIONS = 1_000;
const NEWER_TRANSACTIONS = 10_000;

/** By letter. */
export const REBUILD_WAYS: Record<string, RebuildWay> = {
  a: { name: '(a) bare pg_basebackup', measure: measureBareCopy },
  b: { name: '(b) pgr, full copy', measure: measureFullCopy },
  r: { name: '(r) bare pg_rewind', measure: measureBareRewind },
  c: { name: '(c) pgr, rewind', measure: measureRewind },
};

/** An empty directory, `pg_basebackup -c fast -X stream`, start, streaming. Nothing is stopped and nothing kept. */
async function measureBareCopy(pair: Pair): Promise<Rebuilt> {
  const { primary } = await roles(pair);
  const [port = 0] = await freePorts(1);
  const node = { dataDir: path.join(pair.dir, 'bare'), port };
  await flush();
  const started = performance.now();
  await mkdir(node.dataDir);
  try {
    await give(node.dataDir, pair.user);
    await pair.run('pg_basebackup', [
      '-D',
      node.dataDir,
      '-d',
      conninfo(primary, 'bare'),
      '-c',
      'fast',
      '-X',
      'stream',
      '-R',
    ]);
    await setPort(node);
    await pair.start(node);
    await untilStreaming(node);
    return { totalSeconds: since(started), steps: {}, programs: {} };
  } finally {
    await pair.stop(node, 'immediate');
    await removeDirectory(node.dataDir);
  }
}

async function measureFullCopy(pair: Pair): Promise<Rebuilt> {
  const { standby } = await roles(pair);
  return rebuildWithPgr(pair, standby, 'basebackup');
}

/** pg_rewind on the data themselves: no copy of them is left. */
async function measureBareRewind(pair: Pair): Promise<Rebuilt> {
  const { primary: old, standby: next } = await roles(pair);
  await split(pair, old, next);
  await flush();
  const started = performance.now();
  await rm(path.join(old.dataDir, 'postmaster.pid'), { force: true });
  await pair.run('pg_rewind', ['-D', old.dataDir, '--source-server', conninfo(next, 'bare'), '-R']);
  await setPort(old);
  // It came with the new primary's settings, and names a slot of the old one.
  await writeFile(path.join(old.dataDir, 'postgresql.auto.conf'), "primary_slot_name = ''\n", { flag: 'a' });
  await pair.start(old);
  await untilStreaming(old);
  return { totalSeconds: since(started), steps: {}, programs: {} };
}

async function measureRewind(pair: Pair): Promise<Rebuilt> {
  const { primary: old, standby: next } = await roles(pair);
  await split(pair, old, next);
  return rebuildWithPgr(pair, old, 'rewind');
}

/** `pgr rebuild-standby` as somebody types it: from `pgr approve` to the end of its last change. */
async function rebuildWithPgr(pair: Pair, node: PairNode, method: 'basebackup' | 'rewind'): Promise<Rebuilt> {
  await flush();
  const { run } = (await pair.pgr('rebuild-standby', BENCH_ENVIRONMENT, node.name, '--method', method)) as {
    run: string;
  };
  const view = async (): Promise<RunView> => (await pair.pgr('show', run)) as RunView;
  const gate = await untilSeen(async () => whole(await view()).gate);
  const decidedAt = Date.now();
  await pair.pgr('approve', run, gate.name, '--code', gate.code);
  const done = await untilSeen(async () => {
    const seen = whole(await view());
    return seen.status === 'completed' ? seen : null;
  });
  await untilStreaming(node);
  await dropCopies(pair, node);
  const step = (id: string): { startedAt: string | null; endedAt: string | null } | undefined =>
    done.steps.find((one) => one.id === id);
  const took = STEPS.map((id) => [id, seconds(step(id)?.startedAt, step(id)?.endedAt)] as const);
  const totalSeconds = (Date.parse(step('start-standby')?.endedAt ?? '') - decidedAt) / 1000;
  return { totalSeconds, steps: Object.fromEntries(took), programs: await takeJobs(pair) };
}

/** How long each job took, from its start to its exit; the directories go, so that the next rebuild finds only its own. */
async function takeJobs({ stateDir }: Pair): Promise<Record<string, number>> {
  const root = path.join(stateDir, 'jobs');
  const took: Record<string, number> = {};
  for (const job of await readdir(root).catch(() => [])) {
    const names = await readdir(path.join(root, job));
    const exit = names.find((name) => /^exit(-\d+)?$/.test(name));
    if (exit === undefined) continue;
    const timeOf = async (name: string): Promise<number> => (await stat(path.join(root, job, name))).mtimeMs;
    took[job.replace(/^.*rebuild-/, '')] = ((await timeOf(exit)) - (await timeOf('spec.json'))) / 1000;
    await removeDirectory(path.join(root, job));
  }
  return took;
}

function whole(view: RunView): RunView {
  if (['needs-attention', 'failed', 'aborted'].includes(view.status))
    throw new Error(view.failure?.message ?? view.status);
  return view;
}

function seconds(from: string | null | undefined, to: string | null | undefined): number {
  return (Date.parse(to ?? '') - Date.parse(from ?? '')) / 1000;
}

/** Who takes writes now, and who follows. */
async function roles({ nodes }: Pair): Promise<{ primary: PairNode; standby: PairNode }> {
  const [one, other] = nodes;
  if (one === undefined || other === undefined) throw new Error('a pair has two nodes');
  const [row] = await query<{ standby: boolean }>(one.port, 'select pg_is_in_recovery() as standby');
  return row?.standby === true ? { primary: other, standby: one } : { primary: one, standby: other };
}

/** Both take writes for a moment; then the old primary dies. Its data have another history now. */
async function split(pair: Pair, old: PairNode, next: PairNode): Promise<void> {
  await untilStreaming(next);
  await query(next.port, 'select pg_promote(true)');
  await pgbench(pair, old, LOST_TRANSACTIONS);
  await pgbench(pair, next, NEWER_TRANSACTIONS);
  await query(next.port, 'checkpoint');
  await pair.stop(old, 'immediate');
}

async function pgbench(pair: Pair, node: PairNode, transactions: number): Promise<void> {
  const clients = 4;
  const each = String(Math.ceil(transactions / clients));
  await pair.run('pgbench', [...login(node), '-n', '-c', String(clients), '-j', '2', '-t', each, 'postgres']);
}

/** As our own activity sees it: the receiver streams, and less than a segment is missing. */
async function untilStreaming({ port }: Pick<PairNode, 'port'>): Promise<void> {
  await until('the standby', 300_000, async () => {
    const [row] = await query<{ near: boolean }>(
      port,
      `select status = 'streaming' and pg_wal_lsn_diff(latest_end_lsn, pg_last_wal_replay_lsn()) < 16777216 as near from pg_stat_wal_receiver`,
    );
    if (row?.near !== true) throw new Error('it does not stream');
  });
}

/** The safety copies of the rebuild before: they would only fill the disk. */
async function dropCopies({ configPath }: Pair, node: PairNode): Promise<void> {
  const provider = createSnapshots(await loadConfig(configPath), dataControl)(BENCH_ENVIRONMENT, node.name);
  for (const copy of await provider.list()) await provider.remove(copy);
}

/** What was written before is not to be flushed while the next one is measured. */
async function flush(): Promise<void> {
  await runProgram('sync', []);
}

function since(started: number): number {
  return (performance.now() - started) / 1000;
}
