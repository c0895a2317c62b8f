/** Starts the wrapper of a job as a process of its own session, which outlives the worker. */
import { spawn } from 'node:child_process';
import { chmod, chown, mkdir, open, stat } from 'node:fs/promises';
import path from 'node:path';

import { minimalEnvironment } from '../lib/exec.js';
import { stepFailure } from '../lib/failure.js';
import type { JobSpec } from '../lib/job-runner.js';
import { writeWhole } from '../lib/write-whole.js';
import { JOB_SCRIPT } from './job-script.js';

/** One wrapper that we started; `ended` tells a start that failed from one that is still on its way to its claim. */
export type Started = { generation: number; ended: () => boolean };

/** Makes the job directory, writes spec and script, starts the wrapper. Who of several starters runs the command, the claim decides. */
export async function startJob(dir: string, spec: JobSpec, generation: number): Promise<Started> {
  await prepareDirectory(dir, spec);
  const log = await open(path.join(dir, 'log'), 'a', 0o600);
  try {
    if (spec.runAs) await log.chown(spec.runAs.uid, spec.runAs.gid);
    return launch(dir, spec, generation, log.fd);
  } finally {
    await log.close();
  }
}

function launch(dir: string, spec: JobSpec, generation: number, log: number): Started {
  const child = spawn('/bin/sh', [path.join(dir, 'run.sh'), 'wrap', dir, String(generation), ...spec.argv], {
    // A session of its own: signals to the worker's group or terminal do not reach it.
    detached: true,
    stdio: ['ignore', log, log],
    cwd: spec.cwd ?? '/',
    env: { LANG: 'C', ...minimalEnvironment(), ...spec.env, PGR_JOB_DIR: dir },
    ...(spec.runAs ? { uid: spec.runAs.uid, gid: spec.runAs.gid } : {}),
  });
  let ended = false;
  const markEnded = (): void => {
    ended = true;
  };
  child.once('exit', markEnded);
  child.once('error', markEnded);
  child.unref();
  return { generation, ended: () => ended };
}

async function prepareDirectory(dir: string, spec: JobSpec): Promise<void> {
  await mkdir(path.dirname(dir), { recursive: true, mode: 0o711 });
  await mkdir(dir, { recursive: true, mode: 0o700 });
  if (spec.runAs) {
    await chown(dir, spec.runAs.uid, spec.runAs.gid);
    await requireReachable(path.dirname(dir), spec.runAs);
  }
  const { env, ...rest } = spec;
  // Whole: another starter never reads half a file.
  await writeWhole(path.join(dir, 'run.sh'), JOB_SCRIPT, { owner: spec.runAs });
  const stored = { ...rest, envNames: Object.keys(env ?? {}).sort() };
  await writeWhole(path.join(dir, 'spec.json'), `${JSON.stringify(stored, null, 2)}\n`, { owner: spec.runAs });
}

/** The user of the job must be able to walk down to its directory. Directories that only we made get the missing bit. */
async function requireReachable(dir: string, user: { uid: number; gid: number }): Promise<void> {
  for (let current = dir; ; current = path.dirname(current)) {
    const facts = await stat(current);
    const bit = facts.uid === user.uid ? 0o100 : facts.gid === user.gid ? 0o010 : 0o001;
    if ((facts.mode & bit) === 0) {
      if (current !== dir) {
        throw stepFailure(
          'PreconditionFailed',
          `the job directory is not reachable for uid ${String(user.uid)}: ${current} has mode ${(facts.mode & 0o7777).toString(8)}`,
          { hint: `run \`chmod o+x ${current}\` or set another stateDir in the config` },
        );
      }
      await chmod(current, (facts.mode & 0o7777) | bit);
    }
    if (current === path.dirname(current)) return;
  }
}
