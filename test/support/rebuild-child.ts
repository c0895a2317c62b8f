/**
 * One rebuild activity in a process of its own, for tests that kill it: `node <bundle> <config file> <activity> <input as JSON>`. Fault points are armed by the
 * environment. Prints the result as JSON.
 */
import { readFileSync } from 'node:fs';

import { createRebuildActivities } from '../../activities/postgres/rebuild/index.js';
import type { Config } from '../../config/schema.js';
import { rebuildDeps } from './rebuild-scene.js';

async function main(): Promise<void> {
  const [configFile = '', name = '', input = '{}'] = process.argv.slice(2);
  const { config } = JSON.parse(readFileSync(configFile, 'utf8')) as { config: Config };
  const activities = createRebuildActivities(rebuildDeps(config)) as Record<
    string,
    (input: unknown) => Promise<unknown>
  >;
  const activity = activities[name];
  if (activity === undefined) throw new Error(`no activity ${name}`);
  process.stdout.write(JSON.stringify(await activity(JSON.parse(input))));
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  },
);
