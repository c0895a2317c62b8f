/** Process that runs one sandbox activity and may be killed in it. Arguments: name of the activity, file with {dir, archive, config, input}. */
import { readFileSync } from 'node:fs';

import * as sandbox from '../../../activities/postgres/sandbox/index.js';
import type { Config } from '../../../config/schema.js';
import type { SandboxStepInput } from '../../../shared/contracts/sandbox.js';
import { makeDeps } from './support.js';

type Request = { dir: string; archive: string; config: Config; input: SandboxStepInput };

async function main(): Promise<void> {
  const [, , name = '', file = ''] = process.argv;
  const request = JSON.parse(readFileSync(file, 'utf8')) as Request;
  const deps = makeDeps(request.dir, request.archive, request.config);
  const activities: Record<string, (input: SandboxStepInput) => Promise<unknown>> = {
    prepareSandbox: sandbox.createPrepareSandbox(deps),
    restoreBase: sandbox.createRestoreBase(deps),
    combineIncrementals: sandbox.createCombineIncrementals(deps),
    replayWal: sandbox.createReplayWal(deps),
    verifySandbox: sandbox.createVerifySandbox(deps),
    discardSandbox: sandbox.createDiscardSandbox(deps),
  };
  const activity = activities[name];
  if (activity === undefined) throw new Error(`no activity ${name}`);
  process.stdout.write('running\n');
  process.stdout.write(`${JSON.stringify(await activity(request.input))}\n`);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
