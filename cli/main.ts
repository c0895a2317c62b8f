/** Process entry of `pgr`. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { CliIo } from './context.js';
import { runCli } from './run-cli.js';

const DEFAULT_COLUMNS = 80;
const EXIT_BUG = 70;
const EXIT_INTERRUPTED = 130;

async function main(): Promise<number> {
  const interrupt = new AbortController();
  process.on('SIGINT', () => {
    // The second one means it: nothing here holds anything that could break.
    if (interrupt.signal.aborted) process.exit(EXIT_INTERRUPTED);
    interrupt.abort();
  });
  // `pgr runs | head` closes our output early; that is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : EXIT_BUG);
  });
  const code = await runCli(process.argv.slice(2), {
    io: terminal(),
    env: process.env,
    cwd: process.cwd(),
    version: await readVersion(),
    now: () => new Date(),
    interrupted: interrupt.signal,
    sleep: (milliseconds) => sleep(milliseconds, undefined, { signal: interrupt.signal }).catch(() => undefined),
    connect: async (config) => (await import('./client.js')).connectRunClient(config),
  });
  return interrupt.signal.aborted && code === 0 ? EXIT_INTERRUPTED : code;
}

function terminal(): CliIo {
  const { stdout, stderr, env } = process;
  const forced = env['FORCE_COLOR'] !== undefined && env['FORCE_COLOR'] !== '0';
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    isTty: stdout.isTTY && stderr.isTTY,
    columns: stdout.isTTY ? stdout.columns : DEFAULT_COLUMNS,
    ...(stdout.isTTY ? { rows: stdout.rows } : {}),
    color: (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb' && (stdout.isTTY || forced),
  };
}

/** Of the package this was built from: two levels above `dist/cli/main.js`. */
async function readVersion(): Promise<string> {
  const file = path.resolve(path.dirname(process.argv[1] ?? ''), '..', '..', 'package.json');
  const text = await readFile(file, 'utf8').catch(() => '{}');
  const parsed = JSON.parse(text) as { version?: string };
  return parsed.version ?? '0.0.0';
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exitCode = EXIT_BUG;
  },
);
