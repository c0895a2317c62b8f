/**
 * Scenario: restore-controller on the command line, against the real workflow.
 * Verified: 1 exit codes and documents from the plan over both gates to what is left for a person; 2 an environment whose config has no controller is refused
 * before anything is asked, with what to write.
 */
import { asView, createCliWorkflow, type CliWorkflow } from '../support/cli-workflow.js';
import type { Scenario } from '../support/stub-activities.js';
import { createWorkflowEnv, type WorkflowEnv } from '../support/workflow-env.js';

jest.setTimeout(90_000);

let env: WorkflowEnv;
let scenario: Scenario;
let cli: CliWorkflow;

const BACKUPS = JSON.stringify({
  kind: 'databasus',
  url: 'http://127.0.0.1:4005',
  email: 'restore@example.com',
  password: 'env:A',
  controller: {
    ...{ host: 'chicago', image: 'databasus/databasus:v3.49.0', dataDir: '/srv/databasus', workspace: 'prod' },
    admin: { password: 'env:A' },
    bucket: 'bucket',
    storage: { name: 'r2', accessKeyId: 'env:A', secretAccessKey: 'env:B' },
    databases: [{ name: 'shop', host: '10.0.0.1', user: 'r', password: 'env:A' }],
  },
}).concat(
  `\n    otherBackups: { bucket: { kind: databasus-bucket, bucket: b, accessKeyId: 'env:A', secretAccessKey: 'env:B', secretKey: 'env:A' } }`,
);

beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  scenario = env.scenario();
  scenario.facts.controllerHost = scenario.hosts.standby;
  cli = await createCliWorkflow(env, scenario, BACKUPS);
});
afterEach(async () => {
  await cli.stop();
});

test('from the plan over both gates to what is left for a person', async () => {
  const worker = await cli.startOrchestrator();
  try {
    const { environment } = scenario;
    const plan = await cli.pgr(['restore-controller', environment, '--plan']);
    expect(plan).toMatchObject({ code: 0, document: { runbook: 'restore-controller', status: 'completed' } });
    expect(asView(plan).plan?.summary.join('\n')).toContain('will: put the escrowed key');

    const waiting = await cli.pgr(['restore-controller', environment, '--reason', 'host lost', '--wait']);
    expect(waiting).toMatchObject({
      code: 7,
      document: { run: `${environment}/change`, gate: { name: 'controller' } },
    });
    const { run } = asView(waiting);
    await cli.pgr(['approve', run, 'controller', '--code', asView(waiting).gate?.code ?? '', '--by', 'bo']);
    const second = await untilGate(run, 'proof');
    await cli.pgr(['approve', run, 'proof', '--code', second, '--by', 'bo']);
    await cli.untilEnded(run);
    const shown = await cli.text(['show', run]);
    expect(shown.out).toContain('databasus_slot_%');
    const record = await cli.pgr(['runs', environment]);
    expect(record.out).toContain('restore-controller');
    const undone = await cli.pgr(['undo', run]);
    expect(undone.code).toBe(5);
  } finally {
    await worker.stop();
  }
});

async function untilGate(run: string, gate: string): Promise<string> {
  for (;;) {
    const view = asView(await cli.pgr(['show', run]));
    if (view.gate?.name === gate) return view.gate.code;
    if (view.status !== 'running' && view.gate?.name !== 'controller') throw new Error(`${run} is ${view.status}`);
  }
}

test('without a controller in the config it is refused before anything is asked', async () => {
  await cli.stop();
  cli = await createCliWorkflow(env, scenario);
  const refused = await cli.pgr(['restore-controller', scenario.environment, '--plan']);
  expect(refused).toMatchObject({ code: 2, document: { error: { code: 'ConfigInvalid' } } });
  expect(refused.out).toContain('docs/restore-controller.md');
  expect(scenario.names()).toEqual([]);
});
