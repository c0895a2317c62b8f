/**
 * `npm run bench:flip`: how long one client cannot write while production's writes move to the standby: ours on a lab with HAProxy and PgBouncer, a script on
 * the same lab, and Patroni with etcd and HAProxy. Options: --rounds N (flips of each way), --ways LETTERS. Each kind of pair has the machine to itself.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { findServerUser } from '../lab/server-user.js';
import { findPostgres } from '../lab/tools.js';
import { closeOnSignals, createClosers, type Closers } from './closers.js';
import { goalText, median, medianWithRange, tableText } from './figures.js';
import { CLIENT_TABLE } from './flip-client.js';
import { benchToolsDir, pgrOnLab, query, readLab } from './flip-lab.js';
import { measureFlip, type Seen, type Way } from './flip-measure.js';
import { labWays } from './flip-pgr.js';
import { DEFAULT_SETTINGS, FAST_SETTINGS, type PatroniSettings } from './patroni-config.js';
import { findPatroniTools } from './patroni-tools.js';
import { startPatroni } from './patroni.js';
import { pathOf } from './processes.js';

type Results = Map<string, Seen[]>;
type Bench = { parent: string; distDir: string; rounds: number; letters: string; results: Results };

const SETTLE_MS = 2_000;
const PATRONI: Record<string, { name: string; settings: PatroniSettings }> = {
  f: { name: 'Patroni, fast settings', settings: FAST_SETTINGS },
  d: { name: 'Patroni, default settings', settings: DEFAULT_SETTINGS },
};

const say = (text: string): void => {
  console.error(`- ${text}`);
};

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '6' }, ways: { type: 'string', default: 'pqabhfd' } },
  });
  const parent = await mkdtemp(path.join(tmpdir(), 'pgr-bench-flip-'));
  await chmod(parent, 0o755);
  const closers = createClosers();
  closeOnSignals(closers);
  closers.add(() => rm(parent, { recursive: true, force: true, maxRetries: 3 }));
  const distDir = path.dirname(path.dirname(path.resolve(process.argv[1] ?? '')));
  const bench = {
    parent,
    distDir,
    rounds: Number(values.rounds),
    letters: values.ways,
    results: new Map<string, Seen[]>(),
  };
  try {
    await measureLab(bench, closers);
    await measurePatroni(bench, closers);
  } finally {
    await closers.closeAll();
    // Also when something failed on the way: what was measured stays true.
    print(bench.results);
  }
}

async function measureLab(bench: Bench, closers: Closers): Promise<void> {
  const dir = path.join(bench.parent, 'lab');
  const pgr = pgrOnLab(bench.distDir, dir);
  const ways = Object.entries(labWays(pgr)).flatMap(([letter, way]) => (bench.letters.includes(letter) ? [way] : []));
  if (ways.length === 0) return;
  for (const program of ['haproxy', 'pgbouncer']) {
    if ((await pathOf(program)) !== null) continue;
    say(`the lab is not measured: ${program} is not installed (Debian: apt-get install ${program})`);
    return;
  }
  let isUp = true;
  const destroy = async (): Promise<void> => {
    if (isUp) await pgr('lab', 'destroy');
    isUp = false;
  };
  closers.add(destroy);
  await pgr('lab', 'up', '--with', 'haproxy,pgbouncer');
  await query((await readLab(pgr)).pooledUrl, CLIENT_TABLE);
  await measureRounds(bench, ways);
  await destroy();
}

async function measurePatroni(bench: Bench, closers: Closers): Promise<void> {
  const wanted = Object.entries(PATRONI).filter(([letter]) => bench.letters.includes(letter));
  if (wanted.length === 0) return;
  const user = await findServerUser();
  const tools = await findPatroniTools(user, say);
  if ('missing' in tools) {
    say(`Patroni is not measured; it needs ${tools.missing}`);
    return;
  }
  const { path: binDir } = await findPostgres({
    toolsDir: benchToolsDir(),
    env: process.env,
    serverUser: user,
    progress: say,
  });
  for (const [letter, { name, settings }] of wanted) {
    const own = createClosers();
    closers.add(() => own.closeAll());
    const pair = await startPatroni(
      { dir: path.join(bench.parent, `patroni-${letter}`), binDir, user, tools },
      settings,
      own,
    );
    await query(await pair.url(), CLIENT_TABLE);
    await measureRounds(bench, [{ name, ...pair }]);
    await own.closeAll();
  }
}

/** Every way flips there and back in turn. */
async function measureRounds(bench: Bench, ways: readonly Way[]): Promise<void> {
  let nextId = 1;
  for (let round = 1; round <= bench.rounds; round += 1) {
    for (const way of ways) {
      const { seen, lastId } = await measureFlip(way, nextId);
      nextId = lastId + 1;
      bench.results.set(way.name, [...(bench.results.get(way.name) ?? []), seen]);
      say(`round ${String(round)}: ${way.name} ${JSON.stringify(seen)}`);
      await sleep(SETTLE_MS);
    }
  }
}

function print(results: Results): void {
  const outage = (name: string): number => median((results.get(name) ?? []).map(({ outageMs }) => outageMs));
  const fast = outage('Patroni, fast settings');
  const head = ['way', 'outage ms: median (range)', 'errors', 'lost', 'decision to end ms', '/ Patroni fast'];
  const rows = [...results].map(([name, rounds]) => {
    const sum = (pick: (seen: Seen) => number): string => String(rounds.reduce((total, seen) => total + pick(seen), 0));
    const ends = rounds.flatMap(({ decisionToEndMs }) => decisionToEndMs ?? []);
    const ratio = outage(name) / fast;
    return [
      name,
      medianWithRange(rounds.map(({ outageMs }) => outageMs)),
      sum(({ errors }) => errors),
      sum(({ lost }) => lost),
      ends.length === 0 ? '-' : median(ends).toFixed(0),
      Number.isNaN(ratio) ? '-' : ratio.toFixed(3),
    ];
  });
  console.log(tableText([head, ...rows]));
  for (const line of goals(results, fast)) console.log(line);
}

function goals(results: Results, fast: number): string[] {
  return [...results].flatMap(([name, rounds]) => {
    if (!name.startsWith('pgr')) return [];
    const outage = median(rounds.map(({ outageMs }) => outageMs));
    const most = (pick: (seen: Seen) => number): number => Math.max(...rounds.map(pick));
    const isPooled = name.endsWith('through the pooler');
    return [
      ...goalText(`${name}: outage`, outage, isPooled ? 150 : 700, ' ms'),
      ...goalText(
        `${name}: rows lost`,
        most(({ lost }) => lost),
        0,
      ),
      ...goalText(
        `${name}: decision to end`,
        median(rounds.flatMap(({ decisionToEndMs }) => decisionToEndMs ?? [])),
        2_000,
        ' ms',
      ),
      ...(isPooled
        ? goalText(
            `${name}: client errors`,
            most(({ errors }) => errors),
            0,
          )
        : []),
      ...(isPooled ? goalText(`${name}: outage / Patroni fast`, outage / fast, 1 / 15) : []),
    ];
  });
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
