/** Settings as the configuration files of a cluster add up, read by the server program itself (`postgres -C`), running or not. */
import path from 'node:path';

import { describeFailure, runProgram } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import { readSettingArgs } from './commands.js';
import { runAsOwner, type Owner } from './data-directory.js';

/**
 * Value of one setting of the cluster in `dataDir`, as an ordinary start would have it. Throws PreconditionFailed when the configuration
 * files cannot be read as a whole (the server would not start with them either).
 */
export async function readEffectiveSetting(
  binDir: string,
  dataDir: string,
  owner: Owner,
  name: string,
): Promise<string> {
  const result = await runProgram(path.join(binDir, 'postgres'), readSettingArgs(dataDir, name), runAsOwner(owner));
  if (result.exitCode === 0) return result.stdout.trim();
  throw stepFailure('PreconditionFailed', `cannot read setting ${name} of ${dataDir}: ${describeFailure(result)}`, {
    hint: 'mend the configuration files named there, then `pgr retry`',
  });
}

/** Several settings, by name. */
export async function readEffectiveSettings<Name extends string>(
  binDir: string,
  dataDir: string,
  owner: Owner,
  names: readonly Name[],
): Promise<Record<Name, string>> {
  const values = await Promise.all(
    names.map(async (name) => [name, await readEffectiveSetting(binDir, dataDir, owner, name)] as const),
  );
  return Object.fromEntries(values) as Record<Name, string>;
}
