/** An environment whose only node is a server of this machine, and the developer's part of its config. */
import path from 'node:path';

import { createDumpSource } from '../../../activities/backup-store/dump-sources/create-dump-source.js';
import { createJobRunner } from '../../../activities/jobs/job-runner.js';
import type { ActivityDeps } from '../../../activities/lib/deps.js';
import type { DumpSource } from '../../../activities/lib/dump-source.js';
import { dumpSourceOf } from '../../../activities/lib/environment-config.js';
import { configSchema, type Config } from '../../../config/schema.js';
import type { PlanDevInput } from '../../../shared/contracts/dev.js';

export type DevDeps = Pick<ActivityDeps, 'config' | 'resolveSecret' | 'jobs' | 'program'> & {
  dumpSource: (environment: string, source: string) => Promise<DumpSource>;
  /** Sources that were asked for. */
  asked: string[];
};

type Node = { port: number; dataDir: string; binDir: string };

/** Config of environment `shop` with one node, as recovery.yaml says it. */
export function devConfig(dir: string, node: Node, dev: Record<string, unknown>): Config {
  return configSchema.parse({
    version: 1,
    stateDir: path.join(dir, 'state'),
    record: { kind: 'directory', path: path.join(dir, 'record') },
    environments: {
      shop: {
        postgres: { user: 'postgres', database: 'postgres' },
        nodes: [{ name: 'dallas', host: 'dallas', address: '127.0.0.1', ...node, runtime: { kind: 'process' } }],
        routing: { kind: 'multihost', url: `postgresql://127.0.0.1:${String(node.port)}/postgres` },
        backups: { kind: 's3', bucket: 'b', accessKeyId: 'env:PGR_TEST_KEY', secretAccessKey: 'env:PGR_TEST_KEY' },
        dev: { database: 'shop_dev', binDir: node.binDir, ...dev },
      },
    },
  });
}

export function devDeps(dir: string, config: Config): DevDeps {
  const log = { info: () => undefined, warn: () => undefined };
  const resolveSecret = (reference: string): Promise<string> =>
    Promise.resolve(process.env[reference.replace('env:', '')] ?? '');
  const asked: string[] = [];
  return {
    config,
    resolveSecret,
    jobs: createJobRunner({ stateDir: path.join(dir, 'state'), log }),
    program: { node: process.execPath, distDir: dir, configPath: path.join(dir, 'recovery.yaml') },
    dumpSource: (environment, source) => {
      asked.push(source);
      return createDumpSource(dumpSourceOf(config, environment, source), resolveSecret);
    },
    asked,
  };
}

/** What `pgr restore-dev shop` asks for. */
export function planInput(more: Partial<PlanDevInput> = {}): PlanDevInput {
  return {
    ...{ environment: 'shop', host: 'dev', mode: 'fast', source: null, into: null, password: null },
    requestedAt: '2026-11-22T00:00:00Z',
    ...more,
  };
}
