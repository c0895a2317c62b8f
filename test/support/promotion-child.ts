/**
 * One activity in a process of its own, for tests that kill it: `node <bundle> <config file> <activity> <input as JSON>`. Fault points are armed by
 * the environment. Prints the result as JSON.
 */
import { readFileSync } from 'node:fs';

import type { ActivityDeps } from '../../activities/lib/deps.js';
import { createSwapInDump } from '../../activities/postgres/dump/index.js';
import * as promotion from '../../activities/postgres/promotion/index.js';
import { createRebuildStandby } from '../../activities/postgres/standby/rebuild-standby.js';
import type { Config } from '../../config/schema.js';
import { sceneDeps } from './promotion-scene.js';

type Factory = (deps: ActivityDeps) => (input: never) => Promise<unknown>;

const FACTORIES: Record<string, Factory> = {
  captureTail: promotion.createCaptureTail,
  fenceNode: promotion.createFenceNode,
  keepOldData: promotion.createKeepOldData,
  returnOldData: promotion.createReturnOldData,
  swapIn: promotion.createSwapIn,
  swapInDump: createSwapInDump,
  swapOut: promotion.createSwapOut,
  endRecovery: promotion.createEndRecovery,
  startNode: promotion.createStartNode,
  rebaseline: promotion.createRebaseline,
  rebuildStandby: createRebuildStandby,
};

async function main(): Promise<void> {
  const [configFile = '', activity = '', input = '{}'] = process.argv.slice(2);
  const { config, storeDir } = JSON.parse(readFileSync(configFile, 'utf8')) as { config: Config; storeDir: string };
  const create = FACTORIES[activity];
  if (create === undefined) throw new Error(`no activity ${activity}`);
  const result = await create(await sceneDeps(config, storeDir))(JSON.parse(input) as never);
  process.stdout.write(JSON.stringify(result));
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  },
);
