/**
 * (b) By hand exactly what our activities do: a script that calls them one after the other, without Temporal, without command line and worker.
 */
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';

import { proveTarget, seconds, untilPaused, type Measured } from './measured.js';
import { ended, startProgram, watchPeakMemory, watchPeakMemoryOf } from './processes.js';
import { fileText, isoTime, secretEnvironment, type Bench } from './setup.js';

type Told = { restoreSeconds: number; bytes: number };

/** Measures it once. */
export async function measureByHand(bench: Bench): Promise<Measured> {
  const { dir, distDir, configPath, sandboxPort, target } = bench;
  const log = path.join(dir, 'by-hand.log');
  const script = path.join(distDir, 'bench', 'by-hand-script.js');
  const started = performance.now();
  const child = startProgram(
    process.execPath,
    [script, configPath, distDir, isoTime(target.time), String(Date.now())],
    log,
    {
      env: secretEnvironment(),
    },
  );
  const peaks = [watchPeakMemory(child), watchPeakMemoryOf(['mover.cjs', configPath])];
  try {
    await untilPaused(sandboxPort, child, log);
    const totalSeconds = seconds(started);
    await proveTarget(sandboxPort);
    await ended(child);
    const told = JSON.parse((await fileText(log)).trim().split('\n').at(-1) ?? '') as Told;
    const peakMemoryBytes = peaks.reduce((sum, peak) => sum + peak(), 0);
    return { ...told, replaySeconds: totalSeconds - told.restoreSeconds, totalSeconds, peakMemoryBytes };
  } finally {
    child.kill('SIGKILL');
    await discardAll(bench);
  }
}

/** Stops the servers of all sandboxes and removes them. */
async function discardAll({ dir }: Bench): Promise<void> {
  const root = path.join(dir, 'sandboxes');
  for (const name of await readdir(root).catch(() => [])) {
    const pid = Number((await fileText(path.join(root, name, 'data', 'postmaster.pid'))).split('\n')[0]);
    if (pid > 0) process.kill(pid, 'SIGQUIT');
    while ((await fileText(`/proc/${String(pid)}/stat`)) !== '')
      await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await rm(root, { recursive: true, force: true });
  await rm(path.join(dir, 'state', 'jobs'), { recursive: true, force: true });
}
