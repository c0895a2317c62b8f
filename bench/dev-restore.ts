/**
 * `npm run bench:dev-restore`: how long it takes until a developer has the data of a dump, ours beside `pg_restore --jobs=4`, into the same server.
 * Options: --size GB (of the dump), --rounds N, --ways LETTERS, --jobs N (of ours), --dir DIR.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import type { RunView } from '../shared/contracts/status.js';
import { closeOnSignals, createClosers } from './closers.js';
import { makeDevBench, type DevBench } from './dev-restore-setup.js';
import { goalText, median, medianWithRange, tableText } from './figures.js';
import { seconds } from './measured.js';
import { BENCH_ENVIRONMENT } from './setup.js';

type Way = {
  name: string; /** Seconds until usable, null for all of the time that it took. */
  run: (bench: DevBench, say: (text: string) => void) => Promise<number | null>;
  environment: string;
  deferred: boolean;
};

const WAYS: Record<string, Way> = {
  a: {
    name: '(a) createdb, pg_restore --jobs=4',
    environment: BENCH_ENVIRONMENT,
    deferred: false,
    run: async ({ run, dump }) => {
      await run('createdb', 'shop');
      await run('pg_restore', '--dbname=shop', '--jobs=4', '--no-owner', '--no-privileges', dump);
      return null;
    },
  },
  f: pgrWay('(f) pgr restore-dev --fast, usable', BENCH_ENVIRONMENT, '--fast'),
  u: pgrWay('(u) pgr restore-dev --full', BENCH_ENVIRONMENT, '--full'),
  g: pgrWay('(g) --fast into a server of pgr', 'own', '--fast'),
  w: pgrWay('(w) --full into a server of pgr', 'own', '--full'),
};

function pgrWay(name: string, environment: string, mode: '--fast' | '--full'): Way {
  return {
    ...{ name, environment, deferred: mode === '--fast' },
    run: async ({ pgr }, say) => {
      const view = (await pgr('restore-dev', environment, mode, '--wait')) as RunView;
      say(view.steps.map(stepText).join(', '));
      return view.measured.restoreSeconds ?? Number.NaN;
    },
  };
}

function stepText({ id, startedAt, endedAt }: RunView['steps'][number]): string {
  if (startedAt === null || endedAt === null) return `${id} -`;
  return `${id} ${((Date.parse(endedAt) - Date.parse(startedAt)) / 1000).toFixed(2)}`;
}

const say = (text: string): void => {
  console.error(`- ${text}`);
};

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      size: { type: 'string', default: '2' },
      rounds: { type: 'string', default: '3' },
      ways: { type: 'string', default: 'afugw' },
      jobs: { type: 'string' },
      dir: { type: 'string', default: tmpdir() },
    },
  });
  const parent = await mkdtemp(path.join(values.dir, 'pgr-bench-dev-'));
  await chmod(parent, 0o755);
  const closers = createClosers();
  closeOnSignals(closers);
  closers.add(() => rm(parent, { recursive: true, force: true, maxRetries: 3 }));
  const distDir = path.dirname(path.dirname(path.resolve(process.argv[1] ?? '')));
  const results = new Map<string, number[]>();
  try {
    const jobs = values.jobs === undefined ? null : Number(values.jobs);
    const bench = await makeDevBench({ parent, gigabytes: Number(values.size), distDir, jobs, closers, say });
    say(`the dump has ${String(Math.round(bench.dumpBytes / 1e6))} MB`);
    for (let round = 1; round <= Number(values.rounds); round += 1) {
      for (const [letter, way] of Object.entries(WAYS)) {
        if (!values.ways.includes(letter)) continue;
        const took = await measure(bench, way);
        results.set(letter, [...(results.get(letter) ?? []), took]);
        say(`round ${String(round)}: ${way.name} ${took.toFixed(2)} s`);
      }
    }
  } finally {
    await closers.closeAll();
    print(results);
  }
}

async function measure(bench: DevBench, way: Way): Promise<number> {
  for (const name of ['shop', 'shop__pgr_new', 'shop__pgr_previous'])
    await bench.run('dropdb', '--if-exists', '--force', name);
  await bench.run('psql', '-q', '-c', 'checkpoint');
  const started = performance.now();
  const usable = await way.run(bench, say);
  // What goes on after that nobody waits for.
  const took = usable ?? seconds(started);
  if (way.environment === BENCH_ENVIRONMENT) await prove(bench, way);
  return took;
}

/** The rows are there, proven by keys and counts; the deferred ones only where they were asked for. */
async function prove({ run }: DevBench, { deferred, name }: Way): Promise<void> {
  const count = async (sql: string): Promise<number> =>
    Number((await run('psql', '-At', '-d', 'shop', '-c', sql)).trim());
  const visits = await count('select count(*) from visits');
  const items = await count('select count(*) from items');
  const orders = await count('select count(*) from orders');
  const open = await count("select count(*) from pg_constraint where contype = 'f' and not convalidated");
  const views = await count('select count(*) from revenue');
  const isWhole = items === orders * 3 && orders > 0 && views > 0 && open === 0 && visits === (deferred ? 0 : orders);
  if (!isWhole)
    throw new Error(
      `${name} did not restore what it should: ${JSON.stringify({ visits, items, orders, open, views })}`,
    );
}

function print(results: ReadonlyMap<string, readonly number[]>): void {
  const of = (letter: string): number => median(results.get(letter) ?? []);
  const head = ['way', 'seconds: median (range)', '/ (a)'];
  const rows = Object.entries(WAYS).flatMap(([letter, { name }]) => {
    const took = results.get(letter);
    if (took === undefined) return [];
    const ratio = of(letter) / of('a');
    return [[name, medianWithRange(took, 2), Number.isNaN(ratio) ? '-' : ratio.toFixed(2)]];
  });
  console.log(tableText([head, ...rows]));
  const lines = [
    ...goalText('fast / pg_restore', of('f') / of('a'), 0.5),
    ...goalText('full / pg_restore', of('u') / of('a'), 0.85),
  ];
  for (const line of lines) console.log(line);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
