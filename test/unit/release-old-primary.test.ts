/** Scenario: a failover is aborted before its promotion. Verified: the fence marker of that run goes, twice is once, and that of another run stays. */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import type { ActivityDeps } from '../../activities/lib/deps.js';
import { readFence, writeFence } from '../../activities/lib/fence-file.js';
import { createReleaseOldPrimary } from '../../activities/postgres/flip/release-old-primary.js';
import { parseConfig } from '../../config/load.js';
import { CONFIG } from '../support/cli-harness.js';

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(path.join(os.tmpdir(), 'pgr-release-'));
});
afterEach(async () => {
  await rm(stateDir, { recursive: true, force: true });
});

const input = { environment: 'lab', node: 'dallas', run: 'lab/change', runId: 'run-1' };

function release() {
  const deps = { config: { ...parseConfig(CONFIG, 'test'), stateDir } } as unknown as ActivityDeps;
  return createReleaseOldPrimary(deps)(input);
}

const fence = (runId: string) =>
  writeFence(stateDir, { ...input, runId, api: 1, why: 'failover', at: '2026-11-21T03:42:00.000Z' });

test('removes the marker of its run; a second call finds none', async () => {
  await fence('run-1');
  await expect(release()).resolves.toEqual({ outcome: 'released' });
  await expect(readFence(stateDir, 'lab', 'dallas')).resolves.toEqual({ fenced: false });
  await expect(release()).resolves.toEqual({ outcome: 'not-fenced' });
});

test('leaves the marker of another run where it is', async () => {
  await fence('run-2');
  await expect(release()).resolves.toEqual({ outcome: 'fenced-by-another', run: 'lab/change' });
  await expect(readFence(stateDir, 'lab', 'dallas')).resolves.toMatchObject({ fenced: true });
});
