/** The command line in this process against a real Temporal server and the real workflows; activities are stubs. */
import { Worker } from '@temporalio/worker';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { connectRunClient } from '../../cli/client.js';
import { runCli } from '../../cli/run-cli.js';
import type { Config } from '../../config/schema.js';
import type { RunView } from '../../shared/contracts/status.js';
import { ORCHESTRATOR_QUEUE } from '../../shared/ids.js';
import type { Scenario } from './stub-activities.js';
import type { WorkflowEnv } from './workflow-env.js';

export type CliAnswer = { code: number; out: string; err: string; document: Record<string, unknown> };

export const asView = ({ document }: CliAnswer): RunView => document as unknown as RunView;

export type CliWorkflow = {
  /** Runs `pgr … --json`. */
  pgr(args: string[], address?: string): Promise<CliAnswer>;
  /** The same for people: 80 columns, no colours. */
  text(args: string[]): Promise<CliAnswer>;
  /** Shows a run until nothing more happens by itself. */
  untilEnded(run: string): Promise<CliAnswer>;
  file(name: string): string;
  startOrchestrator(): Promise<{ stop(): Promise<void> }>;
  stop(): Promise<void>;
};

/** A directory with the config of a scenario; the caller starts the orchestrator, on the queue that the command line uses. */
export async function createCliWorkflow(
  env: WorkflowEnv,
  scenario: Scenario,
  backups = S3_BACKUPS,
  more = '',
): Promise<CliWorkflow> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'pgr-cli-workflow-'));
  const run = async (args: string[], json: boolean, address = env.env.address): Promise<CliAnswer> => {
    await writeFile(path.join(dir, 'recovery.yaml'), configText(scenario, address, backups) + more);
    let out = '';
    let err = '';
    const code = await runCli(json ? [...args, '--json'] : args, {
      io: { out: (text) => (out += text), err: (text) => (err += text), isTty: false, columns: 80, color: false },
      env: { HOME: dir, PGR_USER: 'ana', LANG: 'C.UTF-8' },
      cwd: dir,
      version: '0.0.0',
      now: () => new Date(),
      interrupted: new AbortController().signal,
      sleep: (milliseconds) => sleep(Math.min(milliseconds, 50)),
      connect: (config: Config) => connectRunClient(config),
    });
    const document = json && out !== '' ? (JSON.parse(out) as Record<string, unknown>) : {};
    return { code, out, err, document };
  };
  const pgr: CliWorkflow['pgr'] = (args, address) => run(args, true, address);
  return {
    pgr,
    text: (args) => run(args, false),
    async untilEnded(name) {
      for (;;) {
        const shown = await pgr(['show', name]);
        if (!['running', 'waiting-approval'].includes(asView(shown).status)) return shown;
      }
    },
    file: (name) => path.join(dir, name),
    startOrchestrator: () => startOrchestrator(env),
    stop: () => rm(dir, { recursive: true, force: true }),
  };
}

async function startOrchestrator(env: WorkflowEnv): Promise<{ stop(): Promise<void> }> {
  const created = await Worker.create({
    connection: env.env.nativeConnection,
    namespace: env.env.namespace ?? 'default',
    taskQueue: ORCHESTRATOR_QUEUE,
    workflowBundle: { codePath: process.env['WF_BUNDLE'] ?? '' },
    activities: env.stubs.orchestrator,
    shutdownGraceTime: 100,
  });
  const running = created.run();
  return {
    async stop() {
      if (created.getState() === 'RUNNING') created.shutdown();
      await running;
    },
  };
}

const S3_BACKUPS = "{ kind: s3, bucket: b, accessKeyId: 'env:A', secretAccessKey: 'env:B' }";

/** recovery.yaml of a scenario: both nodes, a write address, a store. */
export function configText({ environment, hosts }: Scenario, address: string, backups = S3_BACKUPS): string {
  return `
version: 1
temporal: { address: '${address}', namespace: default, ui: 'http://127.0.0.1:8233' }
stateDir: /tmp/pgr-state
record: { kind: directory, path: /tmp/pgr-records }
environments:
  ${environment}:
    postgres: {}
    nodes:
      - { name: dallas, host: ${hosts.primary}, address: 127.0.0.1, port: 5432, dataDir: /d, binDir: /b, runtime: { kind: process } }
      - { name: chicago, host: ${hosts.standby}, address: 127.0.0.1, port: 5433, dataDir: /d, binDir: /b, runtime: { kind: process } }
    routing: { kind: multihost, url: 'postgresql://127.0.0.1:5432/shop?target_session_attrs=read-write' }
    backups: ${backups}
`;
}
