/**
 * `npm run bench:stores`: the same cluster in several backup stores, restored to the same moment by pgr and by the programs that made the backups.
 * Options: --scale N (pgbench scale, 50 is about 1 GB), --segments N, --rounds N, --ways LETTERS (of a to i).
 */
import path from 'node:path';
import { parseArgs } from 'node:util';

import { findServerUser } from '../lab/server-user.js';
import { archiveToBarman, BARMAN_STORE, barmanStore, findBarman, measureBarman } from './barman.js';
import { barmanCloudStore, CLOUD_STORE, findBarmanCloud, measureBarmanCloud } from './barman-cloud.js';
import { measureDecryption, type Decryption } from './decryption.js';
import { closeOnSignals, createClosers } from './closers.js';
import { goalText, median, medianWithRange, tableText } from './figures.js';
import { measurePgr, startPgrServers } from './measure-pgr.js';
import type { Measured } from './measured.js';
import { findPgbackrest, measurePgbackrest, PGBACKREST_STORE, pgbackrestStore } from './pgbackrest.js';
import { measurePlain } from './plain.js';
import { isInstalled } from './processes.js';
import { BENCH_CREDENTIALS, setUp, type Bench, type OtherStores } from './setup.js';

type Way = { name: string; measure: () => Promise<Measured> };

/** A store of somebody else's program: how it is filled, and that program's own restore. */
type Other = {
  /** Of its program and of pgr from its store. */
  ways: [string, string];
  store: string;
  setUp: OtherStores;
  /** Returns once it has all WAL; for one that receives by itself. */
  catchUp?: (bench: Bench) => Promise<void>;
  measure: (bench: Bench) => Promise<Measured>;
};

/** Goals of contracts/pitr.md: total to "paused at T, readable". */
const GOALS: [string, string, number][] = [
  ['(b) pgr, s3', '(a) plain script', 0.35],
  ['(d) pgr, barman-cloud', '(c) barman-cloud', 0.35],
  ['(f) pgr, barman', '(e) barman restore', 1],
  ['(h) pgr, pgbackrest', '(g) pgbackrest', 1],
  ['(b) pgr, s3', '(g) pgbackrest', 0.8],
];

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      scale: { type: 'string', default: '50' },
      segments: { type: 'string', default: '60' },
      rounds: { type: 'string', default: '3' },
      ways: { type: 'string', default: 'abcdefghi' },
    },
  });
  const say = (text: string): void => {
    console.error(`- ${text}`);
  };
  const closers = createClosers();
  closeOnSignals(closers);
  try {
    const isAsked = ({ name }: { name: string }): boolean => values.ways.includes(name.charAt(1));
    const others = (await findOthers(say)).filter(({ ways }) => ways.some((name) => isAsked({ name })));
    const distDir = path.dirname(path.dirname(path.resolve(process.argv[1] ?? '')));
    const size = { scale: Number(values.scale), segments: Number(values.segments) };
    const bench = await setUp(distDir, size, say, together(others));
    closers.add(() => bench.close());
    for (const { catchUp } of others) await catchUp?.(bench);
    const servers = await startPgrServers(bench);
    closers.add(() => servers.close());
    const pgr = (store: string) => (): Promise<Measured> => measurePgr(bench, servers, say, ['--store', store]);
    const ways = (await waysOf(bench, others, pgr, say)).filter(isAsked);
    // One recovery to touch the memory and the disk for the first time; it counts for nobody.
    await pgr('main')();
    const rounds = Number(values.rounds);
    print(await measureAll(ways, rounds, say));
    if (values.ways.includes('i')) await printDecryption(bench, rounds, say);
  } finally {
    await closers.closeAll();
  }
}

/** Those whose programs are here, or can be had. */
async function findOthers(say: (text: string) => void): Promise<Other[]> {
  const user = await findServerUser();
  const others: Other[] = [];
  const missing = (name: string, found: { missing: string }): void => {
    say(`${name} is not measured: ${found.missing}`);
  };
  const cloud = await findBarmanCloud(user, say);
  if ('missing' in cloud) missing('barman-cloud', cloud);
  else
    others.push({
      ways: ['(c) barman-cloud', '(d) pgr, barman-cloud'],
      store: CLOUD_STORE,
      setUp: barmanCloudStore(cloud, BENCH_CREDENTIALS),
      measure: (bench) => measureBarmanCloud(cloud, bench),
    });
  const barman = await findBarman(user, say);
  if ('missing' in barman) missing('barman', barman);
  else
    others.push({
      ways: ['(e) barman restore', '(f) pgr, barman'],
      store: BARMAN_STORE,
      setUp: barmanStore(barman),
      catchUp: (bench) => archiveToBarman(barman, bench),
      measure: (bench) => measureBarman(barman, bench),
    });
  const pgbackrest = await findPgbackrest(say);
  if ('missing' in pgbackrest) missing('pgbackrest', pgbackrest);
  else
    others.push({
      ways: ['(g) pgbackrest', '(h) pgr, pgbackrest'],
      store: PGBACKREST_STORE,
      setUp: pgbackrestStore(pgbackrest),
      measure: (bench) => measurePgbackrest(pgbackrest, bench),
    });
  return others;
}

function together(others: readonly Other[]): OtherStores {
  return {
    config: (place) =>
      Object.assign({}, ...others.map((other) => other.setUp.config(place))) as Record<string, unknown>,
    takeBases: async (place) => {
      for (const other of others) await other.setUp.takeBases(place);
    },
    archive: async (place, segment) => {
      await Promise.all(others.map((other) => other.setUp.archive(place, segment)));
    },
  };
}

async function waysOf(
  bench: Bench,
  others: readonly Other[],
  pgr: (store: string) => () => Promise<Measured>,
  say: (text: string) => void,
): Promise<Way[]> {
  const hasRclone = await isInstalled('rclone');
  if (!hasRclone) say('rclone is missing: the plain script (a) is not measured');
  return [
    ...(hasRclone ? [{ name: '(a) plain script', measure: () => measurePlain(bench) }] : []),
    { name: '(b) pgr, s3', measure: pgr('main') },
    ...others.flatMap(({ ways: [theirs, ours], store, measure }) => [
      { name: theirs, measure: () => measure(bench) },
      { name: ours, measure: pgr(store) },
    ]),
  ];
}

/** (i) Speed with decryption at least 0.8 of that without: at most 1.25 times as long. */
async function printDecryption(bench: Bench, rounds: number, say: (text: string) => void): Promise<void> {
  if (!(await isInstalled('zstd'))) {
    say('zstd is missing: decryption (i) is not measured');
    return;
  }
  const measured: Decryption[] = [];
  for (let round = 1; round <= rounds; round += 1) measured.push(await measureDecryption(bench));
  const plain = measured.map(({ plainSeconds }) => plainSeconds);
  const sealed = measured.map(({ encryptedSeconds }) => encryptedSeconds);
  console.log(
    `(i) a base of a Databasus bucket: plain ${medianWithRange(plain, 2)} s, encrypted ${medianWithRange(sealed, 2)} s`,
  );
  for (const line of goalText('(i) encrypted / plain', median(sealed) / median(plain), 1.25)) console.log(line);
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
    if (!results.has(left) || !results.has(right)) continue;
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
