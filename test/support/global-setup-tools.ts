/** Before tests that need programs: they are there, and the tests find them in the environment. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { testTools } from './tools.js';

/** Installs what is missing and hands the paths over (jest's workers inherit this environment). */
export default async function globalSetup(): Promise<void> {
  const tools = await testTools();
  process.env['PGR_TEST_POSTGRES_BIN'] = tools.postgresBin;
  if (tools.postgres17Bin !== undefined) process.env['PGR_TEST_POSTGRES17_BIN'] = tools.postgres17Bin;
  process.env['PGR_TEST_TEMPORAL'] = tools.temporal;
  process.env['PGR_TEST_TEMPORAL_TEST_SERVER'] = tools.temporalTestServer;
  process.env['PGR_TEST_WEED'] = tools.weed;
  const built = join(process.cwd(), 'dist', 'workers', 'main.js');
  if (!existsSync(built)) {
    process.stderr.write('dist/ is missing: tests that start the built programs fail; run `npm run build` first\n');
  }
}
