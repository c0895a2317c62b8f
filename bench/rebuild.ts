/**
 * `npm run bench:rebuild`: how long it takes until a standby streams again, ours beside the bare programs, on each file system that the machine has.
 * Options: --size GB, --rounds N, --places LETTERS (d directory, x directory on xfs, b btrfs, z zfs), --ways LETTERS, --dir DIR.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { closeOnSignals, createClosers, type Closers } from './closers.js';
import { goalText, median, medianWithRange, tableText } from './figures.js';
import { makePair } from './rebuild-pair.js';
import { PLACES, type PlaceKind } from './rebuild-places.js';
import { REBUILD_WAYS, type Rebuilt } from './rebuild-ways.js';

type Results = { place: string; way: string; rounds: Rebuilt[] }[];
type Bench = { parent: string; distDir: string; gigabytes: number; rounds: number; ways: string; results: Results };

const STEP_HEADS: Record<string, string> = {
  'stop-standby': 'stop',
  'take-safety-copy': 'safety copy',
  'copy-data': 'data',
  'start-standby': 'start',
};
/** Primary, standby, new data, kept data, and the WAL of all of them. */
const SPACE_OF_SIZE = 10;

const say = (text: string): void => {
  console.error(`- ${text}`);
};

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      size: { type: 'string', default: '2' },
      rounds: { type: 'string', default: '3' },
      places: { type: 'string', default: 'dxbz' },
      ways: { type: 'string', default: 'abrc' },
      dir: { type: 'string', default: tmpdir() },
    },
  });
  const parent = await mkdtemp(path.join(values.dir, 'pgr-bench-rebuild-'));
  await chmod(parent, 0o755);
  const closers = createClosers();
  closeOnSignals(closers);
  closers.add(() => rm(parent, { recursive: true, force: true, maxRetries: 3 }));
  const distDir = path.dirname(path.dirname(path.resolve(process.argv[1] ?? '')));
  const { size, rounds, ways } = values;
  const bench = { parent, distDir, gigabytes: Number(size), rounds: Number(rounds), ways, results: [] };
  try {
    for (const [letter, kind] of Object.entries(PLACES)) {
      if (values.places.includes(letter)) await measurePlace(bench, letter, kind, closers);
    }
  } finally {
    await closers.closeAll();
    // Also when something failed on the way: what was measured stays true.
    print(bench.results);
  }
}

async function measurePlace(bench: Bench, letter: string, kind: PlaceKind, closers: Closers): Promise<void> {
  const missing = await kind.missing();
  if (missing !== null) {
    say(`${kind.name} is not measured: ${missing}`);
    return;
  }
  const { gigabytes, distDir } = bench;
  const own = createClosers();
  closers.add(() => own.closeAll());
  const parent = path.join(bench.parent, letter);
  own.add(() => rm(parent, { recursive: true, force: true, maxRetries: 3 }));
  const bytes = Math.ceil(gigabytes * SPACE_OF_SIZE + 4) * 1024 ** 3;
  const place = await kind.open({ dir: path.join(parent, 'place'), bytes, closers: own });
  const pair = await makePair({ parent, place, gigabytes, distDir, closers: own, say });
  const ways = Object.entries(REBUILD_WAYS).flatMap(([name, way]) => (bench.ways.includes(name) ? [way] : []));
  const results = ways.map(({ name }) => ({ place: kind.name, way: name, rounds: [] as Rebuilt[] }));
  bench.results.push(...results);
  for (let round = 1; round <= bench.rounds; round += 1) {
    for (const [at, way] of ways.entries()) {
      const rebuilt = await way.measure(pair);
      results[at]?.rounds.push(rebuilt);
      say(`${kind.name}, round ${String(round)}: ${way.name} ${JSON.stringify(rebuilt)}`);
    }
  }
  await own.closeAll();
}

function print(results: Results): void {
  const total = (place: string, way: string): number =>
    median(
      results
        .filter((one) => one.place === place && one.way === way)
        .flatMap(({ rounds }) => rounds.map(({ totalSeconds }) => totalSeconds)),
    );
  const head = ['where, way', 'total s: median (range)', ...Object.values(STEP_HEADS), '/ (a)'];
  const rows = results.map(({ place, way, rounds }) => {
    const ratio = total(place, way) / total(place, REBUILD_WAYS['a']?.name ?? '');
    return [
      `${place}: ${way}`,
      medianWithRange(
        rounds.map(({ totalSeconds }) => totalSeconds),
        2,
      ),
      ...Object.keys(STEP_HEADS).map((id) => {
        const took = median(rounds.flatMap(({ steps }) => steps[id] ?? []));
        return Number.isNaN(took) ? '-' : took.toFixed(2);
      }),
      Number.isNaN(ratio) ? '-' : ratio.toFixed(2),
    ];
  });
  console.log(tableText([head, ...rows]));
  for (const place of new Set(results.map((one) => one.place))) {
    const ratio = (letter: string): number =>
      total(place, REBUILD_WAYS[letter]?.name ?? '') / total(place, REBUILD_WAYS['a']?.name ?? '');
    const copies = results
      .filter((one) => one.place === place)
      .flatMap(({ rounds }) => rounds.flatMap(({ steps }) => steps['take-safety-copy'] ?? []));
    const lines = [
      ...goalText(`${place}: full copy / bare pg_basebackup`, ratio('b'), 1.1),
      ...goalText(`${place}: rewind / bare pg_basebackup`, ratio('c'), 0.5),
      ...goalText(`${place}: safety copy`, median(copies), 1, ' s'),
    ];
    for (const line of lines) console.log(line);
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
