/** A dump of the production of a promotion scene, restored in a sandbox beside it, and the archive of its own that a person gives it. */
import { chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { ActivityDeps } from '../../activities/lib/deps.js';
import { runProgramOrFail } from '../../activities/lib/exec.js';
import * as dump from '../../activities/postgres/dump/index.js';
import type { DumpPlan } from '../../shared/contracts/dump.js';
import type { NodeStepInput } from '../../shared/contracts/promotion.js';
import type { SandboxRef } from '../../shared/contracts/sandbox.js';
import { bundleFile } from './bundle.js';
import { sceneDeps, type Scene } from './promotion-scene.js';

export type RestoredDump = {
  ref: SandboxRef;
  plan: DumpPlan;
  /** System identifier of the new cluster. */
  system: string;
  deps: ActivityDeps;
  /** What the steps of the promotion get for a node. */
  step(node: string, runId: string): NodeStepInput;
};

/** Dumps 1,000 orders, and restores them. */
export async function restoreDumpOf(scene: Scene, name: string): Promise<RestoredDump> {
  const file = path.join(scene.dir, `${name}.dump`);
  const { dallas } = scene;
  await runProgramOrFail(path.join(dallas.binDir, 'pg_dump'), ['-d', dallas.url, '-Fc', '-f', file]);
  await bundleFile('workers/restore-dump.ts', path.join(scene.dir, 'restore-dump.cjs'));
  const deps = withPrograms(scene, scene.deps);
  const ref: SandboxRef = {
    environment: 'lab',
    run: `lab/restore-dump/${name}`,
    runId: `${name}-0000-4000-8000-000000000000`,
    sandbox: name,
    host: 'dallas',
  };
  const plan = await dump.createPlanDump(deps)({
    environment: 'lab',
    host: 'dallas',
    source: { kind: 'file', path: file },
    globals: null,
    jobs: 1,
    locale: null,
    quick: false,
    requestedAt: new Date().toISOString(),
  });
  const { systemIdentifier: system } = await dump.createPrepareDumpSandbox(deps)({ ref, plan });
  await dump.createRestoreDump(deps)({ ref, plan });
  const step = (node: string, runId: string): NodeStepInput => {
    const input = scene.step(node, runId);
    return { ...input, expect: { ...input.expect, replacement: system } };
  };
  return { ref, plan, system, deps, step };
}

function withPrograms(scene: Scene, deps: ActivityDeps): ActivityDeps {
  return { ...deps, program: { ...deps.program, distDir: scene.dir } };
}

/** What a person edits: production archives to a place of its own from now on. Returns what the worker knows after its restart. */
export async function giveOwnArchive(
  scene: Scene,
): Promise<{ deps: ActivityDeps; configFile: string; storeDir: string }> {
  const storeDir = path.join(scene.dir, 'store-of-the-dump');
  const { dataDir, owner } = scene.dallas;
  await mkdir(path.join(storeDir, 'wal'), { recursive: true });
  for (const dir of [storeDir, path.join(storeDir, 'wal')]) await chown(dir, owner.uid, owner.gid);
  const main = path.join(dataDir, 'postgresql.conf');
  const text = await readFile(main, 'utf8');
  await writeFile(main, text.replaceAll(`${path.join(scene.dir, 'store')}/`, `${storeDir}/`));
  const configFile = path.join(scene.dir, 'config-of-the-dump.json');
  await writeFile(configFile, JSON.stringify({ config: scene.config, storeDir }));
  return { deps: withPrograms(scene, await sceneDeps(scene.config, storeDir)), configFile, storeDir };
}
