/**
 * One activity of a flip in a process of its own, for tests that kill it: `node <bundle> <config file> <activity> <input as JSON>`. Fault points are
 * armed by the environment. Prints the result as JSON.
 */
import { readFileSync } from 'node:fs';

import { createFlipHostActivities } from '../../activities/postgres/flip/index.js';
import type { Config } from '../../config/schema.js';
import { flipDeps } from './flip-scene.js';

async function main(): Promise<void> {
  const [configFile = '', activity = '', input = '{}'] = process.argv.slice(2);
  const { config, dir } = JSON.parse(readFileSync(configFile, 'utf8')) as { config: Config; dir: string };
  const activities = createFlipHostActivities(await flipDeps(config, dir)) as unknown as Record<
    string,
    (input: unknown) => Promise<unknown>
  >;
  const run = activities[activity];
  if (run === undefined) throw new Error(`no activity ${activity}`);
  process.stdout.write(JSON.stringify(await run(JSON.parse(input))));
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  },
);
