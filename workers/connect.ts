/** Where Temporal is: the config first, then the standard environment variables and profile. */
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { NativeConnection } from '@temporalio/worker';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Config } from '../config/schema.js';

const RETRY_MS = 500;

/**
 * Connects and keeps trying: a worker that starts before its server (a reboot, `lab up`) must not give up.
 * Ends only when `signal` is aborted, then with null.
 */
export async function connectWorker(
  config: Config,
  onWait: (problem: string) => void,
  signal: AbortSignal,
): Promise<{ connection: NativeConnection; namespace: string } | null> {
  const standard = loadClientConnectConfig();
  const address =
    config.temporal.address ??
    standard.connectionOptions.address ??
    `127.0.0.1:${String(config.temporal.embeddedPort)}`;
  const namespace = config.temporal.namespace ?? standard.namespace ?? 'default';
  let told = '';
  while (!signal.aborted) {
    try {
      const options = config.temporal.address === undefined ? standard.connectionOptions : {};
      const connection = await NativeConnection.connect({ ...options, address });
      return { connection, namespace };
    } catch (error) {
      const problem = `temporal at ${address} does not answer: ${error instanceof Error ? error.message : String(error)}`;
      if (problem !== told) onWait(problem);
      told = problem;
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
  return null;
}
