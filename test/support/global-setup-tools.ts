/** Before tests that need programs: they are there, and the tests find them in the environment. */
import { existsSync } from 'node:fs';
import Module from 'node:module';
import { join } from 'node:path';

/** Installs what is missing and hands the paths over (jest's workers inherit this environment). */
export default async function globalSetup(): Promise<void> {
  resolveTypeScript();
  const { testTools, testToolsDir } = await import('./tools.js');
  const tools = await testTools();
  process.env['PGR_TEST_POSTGRES_BIN'] = tools.postgresBin;
  if (tools.postgres17Bin !== undefined) process.env['PGR_TEST_POSTGRES17_BIN'] = tools.postgres17Bin;
  process.env['PGR_TEST_TEMPORAL'] = tools.temporal;
  process.env['PGR_TEST_TEMPORAL_TEST_SERVER'] = tools.temporalTestServer;
  process.env['PGR_TEST_WEED'] = tools.weed;
  // Labs that tests bring up find the same programs instead of downloading their own.
  process.env['PGR_TOOLS_DIR'] = testToolsDir();
  const built = join(process.cwd(), 'dist', 'workers', 'main.js');
  if (!existsSync(built)) {
    process.stderr.write('dist/ is missing: tests that start the built programs fail; run `npm run build` first\n');
  }
}

type Resolver = { _resolveFilename(request: string, ...more: unknown[]): string };

/** Jest maps `.js` specifiers to `.ts` files for tests, but not for its global setup. */
function resolveTypeScript(): void {
  const resolver = Module as unknown as Resolver;
  const resolve = resolver._resolveFilename.bind(resolver);
  resolver._resolveFilename = (request, ...more) => {
    try {
      return resolve(request, ...more);
    } catch (error) {
      if (!/^\.{1,2}\/.*\.js$/.test(request)) throw error;
      return resolve(request.slice(0, -'.js'.length), ...more);
    }
  };
}
