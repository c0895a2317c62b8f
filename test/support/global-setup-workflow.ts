/** Before workflow and replay tests: the Temporal programs are there, and the workflows are bundled once for all test files. */
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { createHash } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
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

/** Bundles of an hour ago are nobody's any more. */
async function removeOld(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > 3_600_000) await rm(path, { force: true });
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

async function bundle(): Promise<string> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: join(process.cwd(), 'workflows', 'index.ts'),
    logger: new DefaultLogger('ERROR'),
  });
  const directory = join(process.cwd(), 'node_modules', '.cache', 'pgr');
  await mkdir(directory, { recursive: true });
  await removeOld(directory);
  // Named for its content: another test run may be reading the one of an earlier state.
  const path = join(directory, `workflow-bundle-${createHash('sha256').update(code).digest('hex').slice(0, 16)}.js`);
  await writeFile(`${path}.${String(process.pid)}`, code);
  await rename(`${path}.${String(process.pid)}`, path);
  return path;
}
