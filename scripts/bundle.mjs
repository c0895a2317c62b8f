// Second half of the build: single files for the programs that are started often (their start-up time is somebody's waiting time,
// and the server's operating system user must be able to read wal-push as one file), and the workflow bundle for workers.
import { bundleWorkflowCode } from '@temporalio/worker';
import { build } from 'esbuild';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', 'dist');

async function bundlePrograms() {
  const common = {
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    minify: true,
    keepNames: true,
    legalComments: 'none',
    external: ['lz4-napi', 'snappy', 'pg-native'],
    logLevel: 'warning',
  };
  await Promise.all(
    [
      'wal-push',
      'mover',
      'take-base',
      'fetch-databasus',
      'fetch-databasus-api',
      'take-base-databasus',
      'fetch-pgbackrest',
      'backup-pgbackrest',
      'fetch-barman',
      'take-base-barman',
      'restore-dump',
      'restore-dev',
      'pg-health',
      'resume-poolers',
    ].map((name) =>
      build({
        ...common,
        entryPoints: [path.join(dist, 'workers', `${name}.js`)],
        outfile: path.join(dist, `${name}.cjs`),
      }),
    ),
  );
}

async function bundleWorkflows() {
  const quiet = { trace() {}, debug() {}, info() {}, warn: console.warn, error: console.error, log() {} };
  const { code } = await bundleWorkflowCode({ workflowsPath: path.join(dist, 'workflows', 'index.js'), logger: quiet });
  await writeFile(path.join(dist, 'workflow-bundle.js'), code);
}

await Promise.all([bundlePrograms(), bundleWorkflows()]);
await writeFile(path.join(dist, '.built'), new Date().toISOString());
