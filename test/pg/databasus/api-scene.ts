/** An environment whose store is a controller, and its fetch program run by hand. */
import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { FetchSpec } from '../../../activities/lib/backup-store.js';
import { createPlanRecovery } from '../../../activities/postgres/plan-recovery.js';
import type { RecoveryPlan } from '../../../shared/contracts/plan.js';
import { normaliseTimestamp } from '../../../shared/target-time.js';
import type { Controller } from '../../support/databasus-controller.js';
import { testTools } from '../../support/tools.js';
import { readExpected, sceneWith, type ExpectedDatabase, type Scene } from './scene.js';

export type ApiScene = Scene & { expected: ExpectedDatabase; binDir: string };

export async function apiScene(controller: Controller, major: 17 | 18): Promise<ApiScene> {
  const tools = await testTools();
  const binDir = major === 17 ? tools.postgres17Bin : tools.postgresBin;
  if (binDir === undefined) throw new Error('there is no PostgreSQL 17');
  process.env['PGR_TEST_CONTROLLER_PASSWORD'] = controller.password;
  const expected = (await readExpected())[major === 17 ? 'p17' : 'p18'];
  const backups = {
    kind: 'databasus',
    url: controller.url,
    email: controller.email,
    password: 'env:PGR_TEST_CONTROLLER_PASSWORD',
    database: expected.id,
  };
  const made = await sceneWith(backups, expected, { binDir, programs: ['fetch-databasus-api'] });
  return { ...made, expected, binDir };
}

export function planFor({ deps }: Scene, target: RecoveryPlan['target']): Promise<RecoveryPlan> {
  const requestedAt = new Date().toISOString();
  return createPlanRecovery(deps)({ environment: 'shop', target, host: 'dallas', requestedAt });
}

export function atTarget({ targetTime }: ExpectedDatabase): RecoveryPlan['target'] {
  return { kind: 'time', value: normaliseTimestamp(targetTime)! };
}

/** Directory of a fetch by hand, with the specification in it. */
export async function fetchSpec({ dir, binDir }: ApiScene, plan: RecoveryPlan): Promise<FetchSpec> {
  const fetchDir = path.join(dir, 'fetch');
  await mkdir(fetchDir, { recursive: true });
  const { timeline, walSegmentBytes, fetch } = plan;
  const { firstSegment, lastSegment } = fetch;
  const spec: FetchSpec = {
    environment: 'shop',
    baseIds: plan.baseChain.map(({ id }) => id),
    baseDirs: plan.baseChain.map((_, at) => path.join(fetchDir, `base-${String(at)}`)),
    wal: { timeline, firstSegment, lastSegment, walSegmentBytes, dir: path.join(fetchDir, 'wal') },
    owner: null,
    plan,
    binDir,
  };
  await writeFile(path.join(dir, 'spec.json'), JSON.stringify(spec));
  return spec;
}

export type Child = { kill(signal?: NodeJS.Signals): void; ended: Promise<number | null> };

/** Runs the program once. */
export function fetchOnce({ dir, distDir, configPath }: ApiScene, env: Record<string, string> = {}): Child {
  const jobDir = path.join(dir, 'job');
  const program = path.join(distDir, 'fetch-databasus-api.cjs');
  const args = [program, '--config', configPath, '--environment', 'shop', path.join(dir, 'spec.json')];
  const started = mkdir(jobDir, { recursive: true }).then(() =>
    spawn(process.execPath, args, {
      env: { ...process.env, PGR_JOB_DIR: jobDir, ...env },
      cwd: '/',
      stdio: ['ignore', 'ignore', 'ignore'],
    }),
  );
  return {
    kill: (signal = 'SIGKILL') => void started.then((child) => child.kill(signal)),
    ended: started.then((child) => new Promise((resolve) => child.once('close', resolve))),
  };
}

/** What the program left. */
export async function resultOf({ dir }: Scene): Promise<unknown> {
  return JSON.parse(await readFile(path.join(dir, 'job', 'result.json'), 'utf8')) as unknown;
}
