/** The lab on which our flips are measured, and how it is asked. */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

import { runProgram } from './processes.js';

export type Pgr = (...args: string[]) => Promise<unknown>;

export type FlipLab = {
  /** Through the pooler, and around it through the write VIP. */
  pooledUrl: string;
  vipUrl: string;
  nodes: { name: string; url: string; port: number; dataDir: string; role: string }[];
  binDir: string;
};

/** Where the benchmarks keep the programs that they install. */
export function benchToolsDir(): string {
  return process.env['PGR_TOOLS_DIR'] ?? path.join('/var/tmp', 'pgr-bench-tools');
}

/** The command line on a lab in `dir`; its answers as JSON. */
export function pgrOnLab(distDir: string, dir: string): Pgr {
  const program = path.join(distDir, 'cli', 'main.js');
  const env = { PGR_LAB_DIR: dir, PGR_USER: 'bench', PGR_TOOLS_DIR: benchToolsDir() };
  return async (...args) =>
    JSON.parse(await runProgram(process.execPath, [program, ...args, '--json'], { env })) as unknown;
}

/** Rows of one statement. */
export async function query<Row extends pg.QueryResultRow>(url: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end().catch(() => undefined);
  }
}

type LabStatus = {
  write: { url: string };
  nodes: FlipLab['nodes'];
  extras: { name: string; address: string }[];
  tools: { postgresBin: string };
};

/** Addresses and roles as they are now. */
export async function readLab(pgr: Pgr): Promise<FlipLab> {
  const status = (await pgr('lab', 'status')) as LabStatus;
  const pooledUrl = status.write.url.replace(/\?.*$/, '');
  const vip = status.extras.find(({ name }) => name === 'haproxy')?.address ?? '';
  const vipUrl = pooledUrl.replace(/@[^/]+\//, `@${vip}/`);
  return { pooledUrl, vipUrl, nodes: status.nodes, binDir: status.tools.postgresBin };
}

/** Looks ten times a second, for two minutes at most. */
export async function until<T>(look: () => Promise<T | null>): Promise<T> {
  const deadline = Date.now() + 120_000;
  for (;;) {
    const seen = await look();
    if (seen !== null) return seen;
    if (Date.now() > deadline) throw new Error('waited 120 s in vain');
    await sleep(100);
  }
}
