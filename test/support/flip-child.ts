/**
 * One activity of a flip in a process of its own, for tests that kill it: `node <bundle> <config file> <activity> <input as JSON>`. Fault points are
 * armed by the environment. Prints the result as JSON, or `<type>: <message>` of its failure.
 */
import { readFileSync } from 'node:fs';

import { createFlipHostActivities } from '../../activities/postgres/flip/index.js';
import { flipDeps, type FlipFile } from './flip-scene.js';
import { routedDeps } from './routed-deps.js';

async function main(): Promise<void> {
  const [configFile = '', activity = '', input = '{}'] = process.argv.slice(2);
  const { config, dir, routed } = JSON.parse(readFileSync(configFile, 'utf8')) as FlipFile;
  const deps = await flipDeps(config, dir);
  const activities = createFlipHostActivities(
    routed === undefined ? deps : routedDeps(deps, config, routed),
  ) as unknown as Record<string, (input: unknown) => Promise<unknown>>;
  const run = activities[activity];
  if (run === undefined) throw new Error(`no activity ${activity}`);
  process.stdout.write(JSON.stringify(await run(JSON.parse(input))));
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    const { type = 'Error', message = '' } = error as { type?: string; message?: string };
    process.stderr.write(`${type}: ${message}\n`);
    process.exit(1);
  },
);
