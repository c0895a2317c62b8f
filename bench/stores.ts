/**
 * `npm run bench:stores`: the same cluster in several backup stores, restored to the same moment by pgr and by the programs that made the backups.
 * Options: --scale N (pgbench scale, 50 is about 1 GB), --segments N, --rounds N, --ways LETTERS.
 */
import path from 'node:path';
import { parseArgs } from 'node:util';

import { findServerUser } from '../lab/server-user.js';
import {
  archiveToCloud,
  barmanCloudStore,
  CLOUD_STORE,
  findBarmanCloud,
  measureBarmanCloud,
  type BarmanCloudTools,
} from './barman-cloud.js';
import { closeOnSignals, createClosers } from './closers.js';
import { goalText, median, medianWithRange, tableText } from './figures.js';
import { measurePgr, startPgrServers } from './measure-pgr.js';
import type { Measured } from './measured.js';
import { measurePlain } from './plain.js';
import { isInstalled } from './processes.js';
import { BENCH_CREDENTIALS, setUp, type Bench } from './setup.js';

type Way = { name: string; measure: () => Promise<Measured> };

/** Goals of contracts/pitr.md: total to "paused at T, readable". */
const GOALS: [string, string, number][] = [
  ['(b) pgr, s3', '(a) plain script', 0.35],
  ['(d) pgr, barman-cloud', '(c) barman-cloud', 0.35],
];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      scale: { type: 'string', default: '50' },
      segments: { type: 'string', default: '60' },
      rounds: { type: 'string', default: '3' },
      ways: { type: 'string', default: 'abcd' },
    },
  });
  const say = (text: string): void => {
    console.error(`- ${text}`);
  };
  const closers = createClosers();
  closeOnSignals(closers);
  try {
    const found = await findBarmanCloud(await findServerUser(), say);
    const cloud = 'missing' in found ? null : found;
    if ('missing' in found) say(`barman-cloud is not measured: ${found.missing}`);
    const distDir = path.dirname(path.dirname(path.resolve(process.argv[1] ?? '')));
    const size = { scale: Number(values.scale), segments: Number(values.segments) };
    const others = cloud === null ? undefined : barmanCloudStore(cloud, BENCH_CREDENTIALS);
    const bench = await setUp(distDir, size, say, others);
    closers.add(() => bench.close());
    if (cloud !== null) {
      say('archiving the wal with barman-cloud-wal-archive');
      await archiveToCloud(cloud, bench);
    }
    const servers = await startPgrServers(bench);
    closers.add(() => servers.close());
    const pgr = (store: string) => (): Promise<Measured> => measurePgr(bench, servers, say, ['--store', store]);
    const ways = (await waysOf(bench, cloud, pgr, say)).filter(({ name }) => values.ways.includes(name.charAt(1)));
    // One recovery to touch the memory and the disk for the first time; it counts for nobody.
    await pgr('main')();
    print(await measureAll(ways, Number(values.rounds), say));
  } finally {
    await closers.closeAll();
  }
}

async function waysOf(
  bench: Bench,
  cloud: BarmanCloudTools | null,
  pgr: (store: string) => () => Promise<Measured>,
  say: (text: string) => void,
): Promise<Way[]> {
  const hasRclone = await isInstalled('rclone');
  if (!hasRclone) say('rclone is missing: the plain script (a) is not measured');
  const plain: Way[] = hasRclone ? [{ name: '(a) plain script', measure: () => measurePlain(bench) }] : [];
  const ours: Way = { name: '(b) pgr, s3', measure: pgr('main') };
  if (cloud === null) return [...plain, ours];
  return [
    ...plain,
    ours,
    { name: '(c) barman-cloud', measure: () => measureBarmanCloud(cloud, bench) },
    { name: '(d) pgr, barman-cloud', measure: pgr(CLOUD_STORE) },
  ];
}

async function measureAll(
  ways: readonly Way[],
  rounds: number,
  say: (text: string) => void,
): Promise<Map<string, Measured[]>> {
  const results = new Map<string, Measured[]>(ways.map(({ name }) => [name, []]));
  for (let round = 1; round <= rounds; round += 1) {
    for (const { name, measure } of ways) {
      const measured = await measure();
      results.get(name)?.push(measured);
      say(`round ${String(round)}: ${name} ${measured.totalSeconds.toFixed(2)} s`);
    }
  }
  return results;
}

function print(results: ReadonlyMap<string, readonly Measured[]>): void {
  const rows = [...results].map(([name, rounds]) => [
    name,
    medianWithRange(
      rounds.map(({ restoreSeconds }) => restoreSeconds),
      1,
    ),
    medianWithRange(
      rounds.map(({ replaySeconds }) => replaySeconds),
      1,
    ),
    medianWithRange(
      rounds.map(({ totalSeconds }) => totalSeconds),
      1,
    ),
  ]);
  console.log(tableText([['way', 'restore s', 'replay s', 'total s'], ...rows]));
  const total = (name: string): number => median((results.get(name) ?? []).map(({ totalSeconds }) => totalSeconds));
  for (const [left, right, goal] of GOALS) {
    for (const line of goalText(`${left} / ${right}`, total(left) / total(right), goal)) console.log(line);
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
