/** Before workflow and replay tests: the Temporal programs are there, and the workflows are bundled once for all test files. */
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import Module from 'node:module';
import { join } from 'node:path';

/** Both projects call it; jest's workers inherit the environment. */
export default async function globalSetup(): Promise<void> {
  if (process.env['PGR_TEST_TEMPORAL'] === undefined || process.env['PGR_TEST_TEMPORAL_TEST_SERVER'] === undefined) {
    resolveTypeScript();
    const { testTools } = await import('./tools.js');
    const tools = await testTools();
    process.env['PGR_TEST_TEMPORAL'] = tools.temporal;
    process.env['PGR_TEST_TEMPORAL_TEST_SERVER'] = tools.temporalTestServer;
  }
  process.env['WF_BUNDLE'] ??= await bundle();
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

async function bundle(): Promise<string> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(process.cwd(), 'workflows', 'index.ts'),
    logger: new DefaultLogger('ERROR'),
  });
  const directory = join(process.cwd(), 'node_modules', '.cache', 'pgr');
  await mkdir(directory, { recursive: true });
  // Another test run may be reading the file that an earlier one left.
  const path = join(directory, `workflow-bundle-${String(process.pid)}.js`);
  await writeFile(`${path}.tmp`, code);
  await rename(`${path}.tmp`, path);
  return path;
}
