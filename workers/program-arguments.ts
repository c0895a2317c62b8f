/** Arguments of the programs that run as jobs: `--config FILE --environment NAME SPEC`. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

import { stepFailure } from '../activities/lib/failure.js';

export type ProgramArguments = {
  configPath: string;
  environment: string;
  specPath: string;
  jobDir: string;
  /** The running program's own file. */
  programPath: string;
};

/** Reads them; throws an Error with the usage when something is missing. */
export function programArguments(program: string): ProgramArguments {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { config: { type: 'string' }, environment: { type: 'string' } },
  });
  const [specPath] = positionals;
  const { config, environment } = values;
  if (config === undefined || environment === undefined || specPath === undefined || positionals.length > 1) {
    throw new Error(`usage: ${program} --config FILE --environment NAME SPEC`);
  }
  const jobDir = process.env['PGR_JOB_DIR'];
  if (jobDir === undefined) throw new Error(`${program} runs as a job: PGR_JOB_DIR is not set`);
  return { configPath: config, environment, specPath, jobDir, programPath: resolve(process.argv[1] ?? '') };
}

/** The failure of a program that finds another store in the config than the one it serves: somebody changed it meanwhile. */
export function otherStore(environment: string, kind: string): Error {
  return stepFailure(
    'ConfigInvalid',
    `the backup store of ${environment} is of kind ${kind}, which this program does not serve`,
  );
}
