/**
 * `npm run bench:pitr`: a recovery of about 1 GB of base and 60 segments of WAL, four ways on the same data and the same S3 server.
 * Options: --scale N (pgbench scale, 50 is about 1 GB), --segments N, --rounds N, --ways abcd.
 */
import path from 'node:path';
import { parseArgs } from 'node:util';

import { measureBound } from './bound.js';
import { measureByHand } from './by-hand.js';
import type { Measured } from './measured.js';
import { measurePgr, startPgrServers } from './measure-pgr.js';
import { measurePlain } from './plain.js';
import { isInstalled } from './processes.js';
import { setUp, type Bench } from './setup.js';

type Way = { name: string; measure: (bench: Bench) => Promise<Measured> };

const MB = 1e6;

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
  const ways: Way[] = [
    { name: '(b) by hand', measure: measureByHand },
    { name: '(d) bound', measure: measureBound },
  ];
  if (await isInstalled('rclone')) ways.unshift({ name: '(a) plain script', measure: measurePlain });
  else say('rclone is missing: the plain script (a) is not measured');
  const distDir = path.dirname(path.dirname(path.resolve(process.argv[1] ?? '')));
  const bench = await setUp(distDir, { scale: Number(values.scale), segments: Number(values.segments) }, say);
  const closers = [() => bench.close()];
  try {
    const { sizes } = bench.base;
    say(
      `base ${mega(sizes.restoredBytes)} (${mega(sizes.bytes)} stored), ${String(bench.wal.count)} segments to replay`,
    );
    const servers = await startPgrServers(bench);
    closers.unshift(() => servers.close());
    ways.push({ name: '(c) pgr pitr', measure: () => measurePgr(bench, servers, say) });
    const results = new Map<string, Measured[]>(ways.map(({ name }) => [name, []]));
    // One round to touch the memory and the disk for the first time; it counts for nobody.
    await measureBound(bench);
    for (let round = 1; round <= Number(values.rounds); round += 1) {
      for (const { name, measure } of ways.filter((way) => values.ways.includes(way.name.charAt(1)))) {
        const measured = await measure(bench);
        results.get(name)?.push(measured);
        say(`round ${String(round)}: ${name} ${measured.totalSeconds.toFixed(2)} s`);
      }
    }
    print(results);
  } finally {
    for (const close of closers) await close();
  }
}

function print(results: ReadonlyMap<string, readonly Measured[]>): void {
  console.log('way               restore s  replay s  total s  bytes MB  peak memory MB');
  const totals = new Map<string, number>();
  for (const [name, rounds] of results) {
    if (rounds.length === 0) {
      console.log(`${name.padEnd(17)} not measured`);
      continue;
    }
    const middle = (pick: (one: Measured) => number): number => median(rounds.map(pick));
    totals.set(
      name,
      middle(({ totalSeconds }) => totalSeconds),
    );
    const peak = middle(({ peakMemoryBytes }) => peakMemoryBytes ?? Number.NaN);
    const columns = [
      middle(({ restoreSeconds }) => restoreSeconds)
        .toFixed(2)
        .padStart(9),
      middle(({ replaySeconds }) => replaySeconds)
        .toFixed(2)
        .padStart(9),
      middle(({ totalSeconds }) => totalSeconds)
        .toFixed(2)
        .padStart(8),
      mega(middle(({ bytes }) => bytes)).padStart(9),
      (Number.isNaN(peak) ? '-' : mega(peak)).padStart(15),
    ];
    console.log(`${name.padEnd(17)} ${columns.join(' ')}`);
  }
  for (const [left, right, goal] of RATIOS) {
    const ratio = (totals.get(left) ?? Number.NaN) / (totals.get(right) ?? Number.NaN);
    if (!Number.isNaN(ratio)) console.log(`${left} / ${right}: ${ratio.toFixed(2)} (goal ${goal})`);
  }
}

const RATIOS: [string, string, string][] = [
  ['(b) by hand', '(a) plain script', '<= 0.35'],
  ['(c) pgr pitr', '(a) plain script', '<= 0.35'],
  ['(c) pgr pitr', '(b) by hand', '<= 1.10'],
  ['(c) pgr pitr', '(d) bound', 'none'],
];

function mega(bytes: number): string {
  return (bytes / MB).toFixed(0);
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
