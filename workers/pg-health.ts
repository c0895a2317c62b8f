/**
 * Program `pg-health`: `pg-health --node NAME [--config FILE] [--environment NAME]`. Tells routers over HTTP whether the server of a node takes
 * writes. A process of its own: it must not die with the worker, so it knows nothing of workers and of Temporal.
 */
import { parseArgs } from 'node:util';

import { createSecretResolver } from '../activities/secrets/resolve-secret.js';
import { findConfig, loadConfig } from '../config/load.js';
import { FAILURES } from '../shared/failures.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import { healthPlaceOf, startHealth, type HealthLog } from './pg-health-start.js';

const USAGE = 'usage: pgr pg-health --node NAME [--config FILE] [--environment NAME]';

async function main(): Promise<void> {
  const { node, environment, config: explicit, dir: labDir } = readFlags();
  if (node === undefined) {
    throw new PgrFailure('BadUsage', 'say which node: pg-health --node NAME', { hint: USAGE });
  }
  const path = await findConfig({ explicit, labDir, env: process.env, cwd: process.cwd() });
  const place = healthPlaceOf(await loadConfig(path), { node, environment }, createSecretResolver());
  const running = await startHealth(place, log);
  await signalled();
  await running.stop();
}

function readFlags() {
  try {
    const text = { type: 'string' } as const;
    return parseArgs({ options: { node: text, environment: text, config: text, dir: text } }).values;
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new PgrFailure('BadUsage', message, { hint: USAGE, cause });
  }
}

/** One JSON object a line on standard output, with the keys of the workers' log. */
const log: HealthLog = (fields, message) => {
  process.stdout.write(
    `${JSON.stringify({ level: 30, time: Date.now(), pid: process.pid, ...fields, msg: message })}\n`,
  );
};

function signalled(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        resolve();
      });
    }
  });
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    const failure = error instanceof PgrFailure ? error : null;
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    if (failure !== null) process.stderr.write(`hint: ${failure.hint}\n`);
    process.exit(failure === null ? 1 : FAILURES[failure.code].exitCode);
  },
);
