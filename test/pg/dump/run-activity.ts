/** Process that runs one activity around a dump and may be killed in it. Arguments: name of the activity, file with {dir, config, input}. */
import { readFileSync } from 'node:fs';

import * as dump from '../../../activities/postgres/dump/index.js';
import type { Config } from '../../../config/schema.js';
import type { DumpStepInput } from '../../../shared/contracts/dump.js';
import { makeDeps } from './deps.js';

type Request = { dir: string; config: Config; input: DumpStepInput };

async function main(): Promise<void> {
  const [, , name = '', file = ''] = process.argv;
  const request = JSON.parse(readFileSync(file, 'utf8')) as Request;
  const deps = makeDeps(request.dir, request.config);
  const activities: Record<string, (input: DumpStepInput) => Promise<unknown>> = {
    prepareDumpSandbox: dump.createPrepareDumpSandbox(deps),
    restoreDump: dump.createRestoreDump(deps),
    handOverSandbox: dump.createHandOverSandbox(deps),
  };
  const activity = activities[name];
  if (activity === undefined) throw new Error(`no activity ${name}`);
  process.stdout.write(`${JSON.stringify(await activity(request.input))}\n`);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
