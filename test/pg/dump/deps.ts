/** The dependencies of the activities around a dump. */
import path from 'node:path';

import { createJobRunner } from '../../../activities/jobs/job-runner.js';
import type { ActivityDeps } from '../../../activities/lib/deps.js';
import { serverControl } from '../../../activities/postgres/server.js';
import { createRuntimes } from '../../../activities/runtime/create-runtimes.js';
import type { Config } from '../../../config/schema.js';

/** The dependencies of the activities; also used by the process that runs one activity and is killed. */
export function makeDeps(dir: string, config: Config): ActivityDeps {
  const log = { info: () => undefined, warn: () => undefined };
  const unused = (): never => {
    throw new Error('not used by dumps');
  };
  return {
    config,
    resolveSecret: (reference) => Promise.resolve(process.env[reference.replace('env:', '')] ?? ''),
    jobs: createJobRunner({ stateDir: path.join(dir, 'state'), log }),
    store: unused,
    program: { node: process.execPath, distDir: dir, configPath: path.join(dir, 'recovery.yaml') },
    runtime: createRuntimes(config, serverControl),
    routing: unused,
    poolers: unused,
    pauseGuard: unused,
    containers: unused,
    snapshot: unused,
    log,
  };
}
