/**
 * Scenario: flip-db, rebuild-standby, snapshots and undo on the command line, against the real workflows.
 * Verified: 1 exit codes and documents from the start over the gate to the report; 2 refusals name the next command; 3 what people see at 80
 * columns says what will happen, what is at risk, and what they state.
 */
import { stepFailure } from '../../activities/lib/failure.js';
import { asView, createCliWorkflow, type CliAnswer, type CliWorkflow } from '../support/cli-workflow.js';
import { safetyCopy, topology } from '../support/flip-fixtures.js';
import type { Scenario } from '../support/stub-activities.js';
import { createWorkflowEnv, type WorkflowEnv } from '../support/workflow-env.js';

jest.setTimeout(90_000);

let env: WorkflowEnv;
let scenario: Scenario;
let name: string;
let cli: CliWorkflow;
let worker: { stop(): Promise<void> };

beforeAll(async () => {
  env = await createWorkflowEnv();
});
afterAll(async () => {
  await env.stop();
});
beforeEach(async () => {
  scenario = env.scenario();
  name = scenario.environment;
  scenario.on('readRecord', ({ run }) => {
    const [id, runId = ''] = run.split('@');
    const entries = scenario.record.filter((entry) => entry.run === id && entry.runId.startsWith(runId));
    return Promise.resolve(entries.length === 0 ? { outcome: 'none' } : { outcome: 'found', entries });
  });
  cli = await createCliWorkflow(env, scenario);
  worker = await cli.startOrchestrator();
});
afterEach(async () => {
  await worker.stop();
  await cli.stop();
});

const approve = (gate: string, shown: CliAnswer, by = 'bo'): Promise<CliAnswer> =>
  cli.pgr(['approve', `${name}/change`, gate, '--code', asView(shown).gate?.code ?? '', '--by', by]);

/** Lines that are there to be copied may be longer than the terminal. */
const tooWide = ({ out }: CliAnswer): string[] =>
  out.split('\n').filter((line) => line.length > 80 && !/^(ui:|\s+(approve|reject|in the ui):)/.test(line));

test('a planned flip from its plan over the gate to the report; undo names the flip back', async () => {
  const plan = await cli.pgr(['flip-db', name, '--plan']);
  expect(plan).toMatchObject({ code: 0, document: { runbook: 'flip-db', status: 'completed' } });
  expect(asView(plan).plan).toMatchObject({
    hash: 'flip-hash-1',
    flip: { from: 'dallas', to: 'chicago', mode: 'stop' },
  });
  expect(asView(plan).run).toMatch(new RegExp(`^${name}/plan/`));

  const waiting = await cli.pgr(['flip-db', name, '--to', 'chicago', '--mode', 'cut', '--reason', 'kernel', '--wait']);
  expect(waiting.code).toBe(7);
  expect(asView(waiting)).toMatchObject({ run: `${name}/change`, reason: 'kernel', gate: { name: 'flip' } });
  const busy = await cli.pgr(['rebuild-standby', name, 'chicago']);
  expect(busy).toMatchObject({ code: 5, document: { error: { code: 'EnvironmentBusy' } } });
  expect((busy.document['error'] as { message: string }).message).toContain('(flip-db, waiting-approval');

  const shown = await cli.text(['show', `${name}/change`]);
  expect(tooWide(shown)).toEqual([]);
  expect(shown.out).toContain(`  writes of ${name} move from dallas to chicago\n  expected outage of writes: 150 ms\n`);
  expect(shown.out).toContain('  clients wait in pool1 meanwhile and see no error\n');

  expect((await approve('flip', waiting)).code).toBe(0);
  const ended = await cli.untilEnded(`${name}/change`);
  expect(asView(ended)).toMatchObject({ status: 'completed', measured: { writeOutageMs: 120 } });
  expect((await cli.text(['show', `${name}/change`])).out).toContain('writes were down 120 ms');
  const listed = (await cli.pgr(['runs', name])).document['runs'] as { runbook: string }[];
  expect(listed.map(({ runbook }) => runbook)).toEqual(['flip-db', 'flip-db']);

  const report = (await cli.pgr(['report', `${name}/change`])).document['markdown'] as string;
  expect(report).toContain('Nothing: chicago had the last record of dallas.');
  expect(report).toContain('Phases: paused 1 ms, promoted 90 ms');
  expect(report).toContain(`pgr flip-db ${name} --to dallas`);

  const undo = await cli.pgr(['undo', `${name}/change`]);
  expect(undo).toMatchObject({
    code: 5,
    document: { error: { code: 'PreconditionFailed', next: [`pgr flip-db ${name} --to dallas`] } },
  });
});

test('a failover shows the risk before its gate, and what a person states at gate fence', async () => {
  scenario
    .on('readTopology', () => Promise.resolve(topology(name, scenario.hosts, { dallas: 'down', chicago: 'standby' })))
    .on('fenceOldPrimary', () => Promise.reject(stepFailure('HostUnreachable', 'dallas does not answer')));
  const waiting = await cli.pgr(['flip-db', name, '--failover', '--wait']);
  expect(waiting.code).toBe(7);
  const first = await cli.text(['show', `${name}/change`]);
  expect(tooWide(first)).toEqual([]);
  expect(first.out).toContain(
    '  at risk: 256 B of WAL that dallas may have acknowledged and chicago does not\n      have\n',
  );
  expect((await approve('flip', waiting)).code).toBe(0);
  let fence = await cli.pgr(['show', `${name}/change`]);
  while (asView(fence).gate?.name !== 'fence') fence = await cli.pgr(['show', `${name}/change`]);
  expect(asView(fence).gate?.statement).toContain('is off: powered down or cut off');
  const shown = await cli.text(['show', `${name}/change`]);
  expect(tooWide(shown)).toEqual([]);
  expect(shown.out).toContain('  whoever approves states: dallas on host');
  expect((await approve('fence', fence)).code).toBe(0);
  expect(asView(await cli.untilEnded(`${name}/change`)).status).toBe('completed');
  const report = (await cli.pgr(['report', `${name}/change`])).document['markdown'] as string;
  expect(report).toContain('Not known: dallas could not be asked. At risk when it was decided: 256 B of WAL.');
  expect(report).toContain(`pgr rebuild-standby ${name} dallas`);
});

test('a flip that a check refuses has exit code 5 and says why', async () => {
  scenario.fail('planFlip', stepFailure('PreconditionFailed', 'lag: 1 GB (expected at most 16 MB)'), 99);
  for (const flag of ['--plan', '--wait']) {
    const refused = await cli.pgr(['flip-db', name, flag]);
    expect(refused.code).toBe(5);
  }
  const plan = await cli.pgr(['flip-db', name, '--plan']);
  expect(plan.document).toMatchObject({
    error: {
      code: 'PreconditionFailed',
      message: 'lag: 1 GB (expected at most 16 MB)',
      next: [`pgr topology ${name}`],
    },
  });
});

test.each([
  [['flip-db', '--to', 'berlin'], 3],
  [['flip-db', '--mode', 'fast'], 2],
  [['rebuild-standby', 'berlin'], 3],
  [['rebuild-standby', 'chicago', '--method', 'copy'], 2],
  [['rebuild-standby', 'chicago', '--rate-limit', 'fast'], 2],
  [['rebuild-standby', 'chicago', '--rate-limit', '0'], 2],
])('bad input is refused before anything is started: %j', async ([verb = '', ...args], code) => {
  const answer = await cli.pgr([verb, name, ...args]);
  expect(answer.code).toBe(code);
  expect(scenario.calls).toEqual([]);
});

test('a rebuild from its plan over the gate to the report, and its undo', async () => {
  const plan = await cli.pgr(['rebuild-standby', name, 'chicago', '--plan', '--rate-limit', '50']);
  expect(plan.code).toBe(0);
  expect(asView(plan).plan?.rebuild).toMatchObject({ node: 'chicago', from: 'dallas', method: 'basebackup' });

  const waiting = await cli.pgr(['rebuild-standby', name, 'chicago', '--wait']);
  expect(waiting.code).toBe(7);
  const shown = await cli.text(['show', `${name}/change`]);
  expect(tooWide(shown)).toEqual([]);
  expect(shown.out).toContain('method basebackup: pg_rewind: could not find common ancestor');
  expect((await approve('wipe', waiting)).code).toBe(0);
  const ended = asView(await cli.untilEnded(`${name}/change`));
  expect(ended.status).toBe('completed');
  const rebuild = `${name}/change@${ended.runId.slice(0, 13)}`;
  const report = (await cli.pgr(['report', rebuild])).document['markdown'] as string;
  expect(report).toContain('A standby holds nothing of its own'.slice(2));
  expect(report).toContain(`pgr undo ${rebuild}`);

  const copy = safetyCopy(name, scenario.hosts.standby, ended.runId);
  scenario.on('listSafetyCopies', ({ node }) => Promise.resolve({ copies: node === 'chicago' ? [copy] : [] }));
  const list = await cli.pgr(['snapshots', 'list', name]);
  expect(list).toMatchObject({ code: 0, document: { copies: [{ node: 'chicago' }], unanswered: [] } });
  expect((await cli.text(['snapshots', 'list', name])).out).toContain(`pgr undo ${rebuild}`);

  const undo = await cli.pgr(['undo', rebuild, '--wait']);
  expect({ code: undo.code, gate: asView(undo).gate?.name }).toEqual({ code: 7, gate: 'undo' });
  expect((await approve('undo', undo)).code).toBe(0);
  expect(asView(await cli.untilEnded(`${name}/change`))).toMatchObject({
    status: 'completed',
    runbook: 'undo-rebuild',
  });
  expect(scenario.inputsOf('returnSafetyCopy')).toMatchObject([{ runId: ended.runId }]);
  expect(await cli.pgr(['undo', `${name}/change`])).toMatchObject({ code: 5 });
});

test('a rebuild that was aborted without putting the data back is undone later, from its record', async () => {
  scenario
    .fail('copyStandby', stepFailure('CommandFailed', 'disk full'))
    .fail('returnSafetyCopy', stepFailure('CommandFailed', 'not now'), 1);
  const waiting = await cli.pgr(['rebuild-standby', name, 'chicago', '--wait']);
  await approve('wipe', waiting);
  expect(asView(await cli.untilEnded(`${name}/change`)).status).toBe('needs-attention');
  const running = await cli.pgr(['undo', `${name}/change`]);
  expect(running).toMatchObject({ code: 5, document: { error: { message: `${name}/change still runs` } } });
  await cli.pgr(['abort', `${name}/change`, '--reason', 'no time']);
  let parked = await cli.pgr(['show', `${name}/change`]);
  while (asView(parked).failure?.step !== 'return-safety-copy') parked = await cli.pgr(['show', `${name}/change`]);
  await cli.pgr(['skip', `${name}/change`, '--reason', 'later']);
  const ended = asView(await cli.untilEnded(`${name}/change`));
  expect(ended.status).toBe('aborted');

  const copy = safetyCopy(name, scenario.hosts.standby, ended.runId);
  scenario.on('listSafetyCopies', () => Promise.resolve({ copies: [copy] }));
  const undo = await cli.pgr(['undo', `${name}/change`, '--wait']);
  expect(undo.code).toBe(7);
  expect(asView(undo).runbook).toBe('undo-rebuild');
  await cli.pgr(['abort', `${name}/change`, '--reason', 'enough']);
});

test('snapshots prune: needs a rule, goes through its gate, says what goes', async () => {
  expect((await cli.pgr(['snapshots', 'prune', name])).code).toBe(2);
  expect((await cli.pgr(['snapshots', 'prune', name, '--keep', 'two'])).code).toBe(2);
  const copies = [1, 2, 3].map((day) =>
    safetyCopy(name, scenario.hosts.standby, `run-${String(day)}`, {
      name: `copy-${String(day)}`,
      createdAt: `2026-11-0${String(day)}T00:00:00.000Z`,
    }),
  );
  scenario.on('listSafetyCopies', ({ node }) => Promise.resolve({ copies: node === 'chicago' ? copies : [] }));
  const waiting = await cli.pgr(['snapshots', 'prune', name, '--keep', '2', '--wait']);
  expect(waiting.code).toBe(7);
  expect(asView(waiting).plan?.summary[0]).toContain('remove copy-1 of chicago');
  await approve('prune', waiting);
  expect(asView(await cli.untilEnded(`${name}/change`)).status).toBe('completed');
  expect(scenario.inputsOf('pruneSafetyCopies')).toMatchObject([{ names: ['copy-1'] }]);
});

test('snapshots list: hosts that do not answer are told; none at all is a failure and not "no copies"', async () => {
  scenario.on('listSafetyCopies', ({ node }) =>
    node === 'dallas' ? Promise.reject(stepFailure('HostUnreachable', 'no answer')) : Promise.resolve({ copies: [] }),
  );
  expect(await cli.pgr(['snapshots', 'list', name])).toMatchObject({
    code: 5,
    document: { error: { code: 'HostUnreachable', next: [`pgr worker --host ${scenario.hosts.primary}`] } },
  });
});
