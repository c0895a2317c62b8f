/**
 * `npm run bench:flip`: how long one client cannot write while production's writes move to the standby, on a lab with HAProxy and PgBouncer.
 * Options: --rounds N. Every way flips there and back in turn, on the same two servers.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { CLIENT_TABLE, startClient } from './flip-client.js';
import { flipByHand } from './flip-by-hand.js';
import { query, type FlipLab } from './flip-lab.js';
import { isInstalled, runProgram } from './processes.js';

type Seen = { outageMs: number; errors: number; lost: number; decisionToEndMs: number | null };
type Way = { name: string; url: (lab: FlipLab) => string; flip: (lab: FlipLab) => Promise<number | null> };

const SETTLE_MS = 2_000;

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '6' } } });
  for (const program of ['haproxy', 'pgbouncer']) {
    if (!(await isInstalled(program)) && !(await isInstalled(`/usr/sbin/${program}`))) {
      throw new Error(`${program} is not installed`);
    }
  }
  const parent = await mkdtemp(path.join(tmpdir(), 'pgr-bench-flip-'));
  const dir = path.join(parent, 'lab');
  const distDir = path.dirname(path.dirname(path.resolve(process.argv[1] ?? '')));
  const pgr = async (...args: string[]): Promise<unknown> => {
    const env = {
      PGR_LAB_DIR: dir,
      PGR_USER: 'bench',
      PGR_TOOLS_DIR: process.env['PGR_TOOLS_DIR'] ?? '/var/tmp/pgr-bench-tools',
    };
    const text = await runProgram(process.execPath, [path.join(distDir, 'cli', 'main.js'), ...args, '--json'], { env });
    return JSON.parse(text) as unknown;
  };
  try {
    await pgr('lab', 'up', '--with', 'haproxy,pgbouncer');
    const results = new Map<string, Seen[]>(WAYS.map(({ name }) => [name, []]));
    let nextId = 1;
    await query((await readLab(pgr)).pooledUrl, CLIENT_TABLE);
    for (let round = 1; round <= Number(values.rounds); round += 1) {
      for (const way of WAYS) {
        const lab = await readLab(pgr);
        const { seen, lastId } = await measure(way, lab, nextId);
        nextId = lastId + 1;
        results.get(way.name)?.push(seen);
        console.error(`- round ${String(round)}: ${way.name} ${JSON.stringify(seen)}`);
        await sleep(SETTLE_MS);
      }
    }
    print(results);
  } finally {
    await pgr('lab', 'destroy').catch(() => undefined);
    await rm(parent, { recursive: true, force: true });
  }
}

const WAYS: Way[] = [
  { name: 'pgr, through the pooler', url: (lab) => lab.pooledUrl, flip: flipWithPgr },
  { name: 'pgr, around the pooler', url: (lab) => lab.vipUrl, flip: flipWithPgr },
  { name: 'by hand, HAProxy follows', url: (lab) => lab.vipUrl, flip: flipByHand },
];

async function measure(way: Way, lab: FlipLab, firstId: number): Promise<{ seen: Seen; lastId: number }> {
  const client = startClient(way.url(lab), firstId);
  await sleep(500);
  const flipped = await way.flip(lab).then(
    (decisionToEndMs) => ({ decisionToEndMs }),
    (error: unknown) => ({ error }),
  );
  // An outage that has not ended would not be counted.
  const before = client.acknowledged();
  await until(() => Promise.resolve(client.acknowledged() > before + 20 ? true : null));
  await sleep(500);
  const report = await client.stop();
  if ('error' in flipped) throw flipped.error;
  const { decisionToEndMs } = flipped;
  const found = await query<{ id: string }>(
    way.url(lab),
    `select id::text from flip_bench where id >= ${String(firstId)}`,
  );
  const present = new Set(found.map(({ id }) => Number(id)));
  const lost = report.acknowledged.filter((id) => !present.has(id)).length;
  const lastId = report.acknowledged.at(-1) ?? firstId;
  return { seen: { outageMs: Math.round(report.outageMs), errors: report.errors, lost, decisionToEndMs }, lastId };
}

type View = {
  status: string;
  gate: { name: string; code: string } | null;
  steps: { id: string; startedAt: string | null; endedAt: string | null }[];
  failure: { message: string } | null;
};

/** From the decision at the gate to the end of the flip, in ms. */
async function flipWithPgr({ pgr }: Pick<FlipLab, 'pgr'>): Promise<number> {
  const { run } = (await pgr('flip-db', 'lab')) as { run: string };
  const gate = await until(async () => ((await pgr('show', run)) as View).gate);
  const decidedAt = Date.now();
  await pgr('approve', run, gate.name, '--code', gate.code);
  const view = await until(async () => {
    const seen = (await pgr('show', run)) as View;
    if (['needs-attention', 'failed', 'aborted'].includes(seen.status)) throw new Error(seen.failure?.message);
    return seen.status === 'completed' ? seen : null;
  });
  const ended = view.steps.find(({ id }) => id === 'flip')?.endedAt ?? '';
  return Date.parse(ended) - decidedAt;
}

async function until<T>(look: () => Promise<T | null>): Promise<T> {
  const deadline = Date.now() + 120_000;
  for (;;) {
    const seen = await look();
    if (seen !== null) return seen;
    if (Date.now() > deadline) throw new Error('waited 120 s in vain');
    await sleep(100);
  }
}

type LabStatus = {
  write: { url: string };
  nodes: FlipLab['nodes'];
  extras: { name: string; address: string }[];
  tools: { postgresBin: string };
};

async function readLab(pgr: FlipLab['pgr']): Promise<FlipLab> {
  const status = (await pgr('lab', 'status')) as LabStatus;
  const pooledUrl = status.write.url.replace(/\?.*$/, '');
  const vip = status.extras.find(({ name }) => name === 'haproxy')?.address ?? '';
  const vipUrl = pooledUrl.replace(/@[^/]+\//, `@${vip}/`);
  return { pgr, pooledUrl, vipUrl, nodes: status.nodes, binDir: status.tools.postgresBin };
}

function print(results: ReadonlyMap<string, readonly Seen[]>): void {
  console.log('way                        outage ms: median (min to max)   errors  lost  decision to end ms');
  for (const [name, rounds] of results) {
    const outages = rounds.map(({ outageMs }) => outageMs).sort((a, b) => a - b);
    const middle = outages[Math.floor(outages.length / 2)] ?? Number.NaN;
    const sum = (pick: (seen: Seen) => number): string => String(rounds.reduce((total, seen) => total + pick(seen), 0));
    const ends = rounds.flatMap(({ decisionToEndMs }) => decisionToEndMs ?? []).sort((a, b) => a - b);
    const end = ends.length === 0 ? '-' : String(ends[Math.floor(ends.length / 2)]);
    const range = `${String(middle)} (${String(outages[0])} to ${String(outages.at(-1))})`;
    console.log(
      `${name.padEnd(26)} ${range.padEnd(32)} ${sum(({ errors }) => errors).padStart(6)} ${sum(({ lost }) => lost).padStart(5)} ${end.padStart(19)}`,
    );
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
