/** Runs an activity in a child process that dies by SIGKILL at a named fault point. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { runProgram, type ProgramResult } from '../../activities/lib/exec.js';
import { bundleFile } from './bundle.js';

export type KillableSteps = {
  /** Kills the step at `fault`; returns true when it really died there. */
  killAt(fault: string, activity: string, configFile: string, input: unknown): Promise<boolean>;
  run(activity: string, configFile: string, input: unknown): Promise<ProgramResult>;
  destroy(): Promise<void>;
};

/** Bundles the child program once. */
export async function createKillableSteps(program = 'promotion-child'): Promise<KillableSteps> {
  const dir = await mkdtemp(path.join(tmpdir(), 'pgr-child-'));
  const bundle = path.join(dir, 'child.cjs');
  await bundleFile(`test/support/${program}.ts`, bundle);
  const run = (activity: string, configFile: string, input: unknown, env: Record<string, string> = {}) =>
    runProgram(process.execPath, [bundle, configFile, activity, JSON.stringify(input)], { env, timeoutMs: 120_000 });
  return {
    run,
    async killAt(fault, activity, configFile, input) {
      const flag = path.join(dir, `flag-${fault.replace(/\W/g, '-')}-${String(Date.now())}`);
      const result = await run(activity, configFile, input, { PGR_FAULT: fault, PGR_FAULT_FLAG: flag });
      if (result.exitCode !== null && result.exitCode !== 0) throw new Error(result.stderr);
      return result.signal === 'SIGKILL' && existsSync(flag);
    },
    destroy: () => rm(dir, { recursive: true, force: true }),
  };
}
