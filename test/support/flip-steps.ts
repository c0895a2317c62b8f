/** Activities of a flip in processes of their own that die or freeze at named places, and the guard program that such a process starts. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { bundleInto } from './bundle.js';

/** `died`: by a signal. `type` is that of the failure. */
export type StepEnd =
  { end: 'done'; result: unknown } | { end: 'failed'; type: string; message: string } | { end: 'died'; signal: string };

type RunningStep = {
  ended: Promise<StepEnd>;
  /** True once it is frozen at its place; false when it ended without having come there. */
  frozen(): Promise<boolean>;
  goOn(): void;
};

export type FlipSteps = {
  /** Directory of `resume-poolers.cjs`. */
  distDir: string;
  /** `faults`: names of fault points; `<name>=SIGSTOP` (only the first one) freezes there. */
  start(activity: string, configFile: string, input: unknown, faults?: readonly string[]): RunningStep;
  destroy(): Promise<void>;
};

const LONGEST_STEP_MS = 90_000;

export async function createFlipSteps(): Promise<FlipSteps> {
  const distDir = await mkdtemp(path.join(tmpdir(), 'pgr-flip-steps-'));
  await bundleInto(distDir, ['test/support/flip-child.ts', 'workers/resume-poolers.ts']);
  const children = new Set<ChildProcess>();
  let count = 0;
  return {
    distDir,
    start(activity, configFile, input, faults = []) {
      count += 1;
      const flag = path.join(distDir, `flag-${String(count)}`);
      const env = { ...process.env, PGR_FAULT: faults.join(' '), PGR_FAULT_FLAG: flag };
      const args = [path.join(distDir, 'flip-child.cjs'), configFile, activity, JSON.stringify(input)];
      const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
      children.add(child);
      const timer = setTimeout(() => child.kill('SIGKILL'), LONGEST_STEP_MS);
      const state = { over: false };
      const ended = endOf(child).finally(() => {
        state.over = true;
        clearTimeout(timer);
        children.delete(child);
      });
      return {
        ended,
        async frozen() {
          // The flag is made right before the signal: continued too early it would stay frozen for ever.
          while (!existsSync(flag) || !isStopped(child)) {
            if (state.over) return false;
            await delay(2);
          }
          return true;
        },
        goOn: () => child.kill('SIGCONT'),
      };
    },
    async destroy() {
      for (const child of children) child.kill('SIGKILL');
      await rm(distDir, { recursive: true, force: true });
    },
  };
}

function isStopped({ pid }: ChildProcess): boolean {
  try {
    return /\) T /.test(readFileSync(`/proc/${String(pid)}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

function endOf(child: ChildProcess): Promise<StepEnd> {
  let [out, err] = ['', ''];
  child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()));
  return new Promise((resolve) => {
    child.once('close', (code, signal) => {
      if (signal !== null) resolve({ end: 'died', signal });
      else if (code === 0) resolve({ end: 'done', result: JSON.parse(out) as unknown });
      else {
        const [, type = 'Error', message = err] = /^(\w+): ([^]*)$/.exec(err.trim()) ?? [];
        resolve({ end: 'failed', type, message });
      }
    });
  });
}
