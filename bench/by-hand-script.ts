/** The script of (b): `node by-hand-script.js CONFIG DIST TARGET STARTED`; its last line tells what it measured. */
import { createHostActivities } from '../activities/index.js';
import { createDeps } from '../workers/deps.js';
import { BENCH_ENVIRONMENT } from './setup.js';

const HOST = 'here';

async function main(): Promise<void> {
  const [configPath = '', distDir = '', target = '', startedAt = ''] = process.argv.slice(2);
  const { activities: deps } = await createDeps(configPath, distDir);
  const host = createHostActivities(deps);
  const requestedAt = new Date().toISOString();
  const plan = await host.planRecovery({
    environment: BENCH_ENVIRONMENT,
    host: HOST,
    target: { kind: 'time', value: target },
    requestedAt,
  });
  const runId = `${requestedAt.replace(/\D/g, '')}-by-hand`;
  const ref = { environment: BENCH_ENVIRONMENT, run: 'by-hand', runId, sandbox: runId, host: HOST };
  await host.prepareSandbox({ ref, plan });
  const restored = await host.restoreBase({ ref, plan });
  await host.combineIncrementals({ ref, plan });
  const restoreSeconds = (Date.now() - Number(startedAt)) / 1000;
  await host.replayWal({ ref, plan });
  console.log(JSON.stringify({ restoreSeconds, bytes: restored.baseBytes + restored.walBytes }));
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);
