/** A process that starts the pause guard, pauses, says so, and waits for its death. Arguments: a JSON file with `config`, `distDir` and `deadlineMs`. */
import { readFileSync } from 'node:fs';

import { createPoolers } from '../../activities/pooler/create-poolers.js';
import { createPauseGuards } from '../../activities/pooler/pause-guard.js';
import type { Config } from '../../config/schema.js';

type Spec = { config: Config; distDir: string; deadlineMs: number };

async function main(): Promise<void> {
  const { config, distDir, deadlineMs } = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as Spec;
  const resolveSecret = (reference: string): Promise<string> => Promise.resolve(reference.replace('env:', ''));
  const program = { node: process.execPath, distDir, configPath: '/nowhere' };
  const guard = await createPauseGuards({ config, resolveSecret, program }, deadlineMs)('shop');
  const [pooler] = createPoolers(config, resolveSecret)('shop');
  const session = await pooler?.open(2_000);
  await guard.extend();
  const outcome = await session?.pause();
  process.stdout.write(`${outcome?.outcome ?? 'none'}\n`);
  setInterval(() => undefined, 1_000);
}

void main();
