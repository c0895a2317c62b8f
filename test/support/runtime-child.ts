/** Runs one call of the systemd runtime inside a container, where systemd is: `runtime-child NODE-JSON status|start|stop [TIMEOUT-MS]`. Prints JSON. */
import { ApplicationFailure } from '@temporalio/common';

import { serverControl } from '../../activities/postgres/server.js';
import { createSystemdRuntime } from '../../activities/runtime/systemd-runtime.js';
import type { EnvironmentConfig, NodeConfig } from '../../config/schema.js';

async function main(): Promise<unknown> {
  const [node = '{}', call = 'status', timeout] = process.argv.slice(2);
  const runtime = createSystemdRuntime({} as EnvironmentConfig, JSON.parse(node) as NodeConfig, serverControl);
  if (call === 'start') return runtime.start();
  if (call === 'stop') return runtime.stop(timeout === undefined ? undefined : Number(timeout));
  return runtime.status();
}

main().then(
  (result) => {
    process.stdout.write(JSON.stringify({ result }));
  },
  (error: unknown) => {
    const { type, message } = error instanceof ApplicationFailure ? error : { type: 'Bug', message: String(error) };
    process.stdout.write(JSON.stringify({ failure: { type, message } }));
  },
);
