import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { signedTextFor } from '../../shared/contracts/decisions.js';
import { PgrFailure } from '../../shared/pgr-failure.js';
import { fakeTemporal, listedRun, pgr, RUN, RUN_ID, runView, waitingView } from '../support/cli-harness.js';

describe('bad input is refused before anything is contacted', () => {
  const cases: [string, string[], number, string, RegExp][] = [
    ['a time without zone', ['pitr', 'lab', '--to', '2026-11-21T03:41:00'], 2, 'TargetMalformed', /has no zone/],
    [
      'a time without zone, as psql prints it',
      ['pitr', 'lab', '--to', '2026-11-21 03:41'],
      2,
      'TargetMalformed',
      /no zone/,
    ],
    ['a malformed time', ['pitr', 'lab', '--to', 'yesterday'], 2, 'TargetMalformed', /is not a target/],
    ['a day that does not exist', ['pitr', 'lab', '--to', '2026-02-30T00:00:00Z'], 2, 'TargetMalformed', /not a real/],
    ['a time in the future', ['pitr', 'lab', '--to', '2026-11-21T05:00:00Z'], 5, 'TargetNotRecoverable', /future/],
    ['a malformed xid', ['pitr', 'lab', '--to', 'xid:abc'], 2, 'TargetMalformed', /not a transaction id/],
    ['a malformed lsn', ['pitr', 'lab', '--to', 'lsn:5A0001C8'], 2, 'TargetMalformed', /not an lsn/],
    ['no target', ['pitr', 'lab'], 2, 'BadUsage', /target is missing/],
    ['two targets', ['pitr', 'lab', '--to', 'latest', '--ago', '5m'], 2, 'BadUsage', /--to and --ago/],
    ['a malformed --ago', ['pitr', 'lab', '--ago', '5 minutes'], 2, 'BadUsage', /not a duration/],
    ['a malformed --ttl', ['pitr', 'lab', '--to', 'latest', '--ttl', '1y'], 2, 'BadUsage', /--ttl 1y/],
    ['a malformed --wait', ['pitr', 'lab', '--to', 'latest', '--wait=soon'], 2, 'BadUsage', /--wait soon/],
    ['an unknown environment', ['pitr', 'nope', '--to', 'latest'], 3, 'EnvironmentUnknown', /no environment nope/],
    [
      'an unknown environment that is a property of every object',
      ['window', 'constructor'],
      3,
      'EnvironmentUnknown',
      /constructor/,
    ],
    ['an unknown option', ['pitr', 'lab', '--too', 'latest'], 2, 'BadUsage', /unknown option '--too'/],
    ['an unknown command', ['pitrr'], 2, 'BadUsage', /unknown command 'pitrr'/],
    ['an argument too many', ['show', 'a', 'b'], 2, 'BadUsage', /too many arguments/],
    ['no environment', ['pitr'], 2, 'BadUsage', /missing required argument 'env'/],
    ['no command', [], 2, 'BadUsage', /command is missing/],
    ['half a command', ['audit'], 2, 'BadUsage', /command is missing/],
    ['an unknown run', ['show', 'lab/pitr/1999'], 3, 'NotFound', /no run lab\/pitr\/1999/],
    ['an unknown status', ['runs', '--status', 'fine'], 2, 'BadUsage', /no such status/],
    ['a missing --from', ['promote', 'lab'], 2, 'BadUsage', /--from/],
    ['approve without code', ['approve', RUN, 'promote'], 2, 'BadUsage', /--code is missing/],
    ['skip without reason', ['skip', RUN], 2, 'BadUsage', /--reason is missing/],
    ['abort with an empty reason', ['abort', RUN, '--reason', ' '], 2, 'BadUsage', /--reason is missing/],
    ['a control character in the name', ['retry', RUN, '--by', 'a\u001b[2Jb'], 2, 'BadUsage', /not known who asks/],
    ['a run and a file', ['audit', 'verify', RUN, '--file', 'x'], 2, 'BadUsage', /both given/],
    ['a file that is not there', ['audit', 'verify', '--file', '/nonexistent'], 3, 'NotFound', /cannot read/],
    ['a worker without bin/pgr', ['worker', '--all'], 2, 'BadUsage', /cannot start a worker/],
  ];

  test.each(cases)('%s', async (_title, args, code, type, message) => {
    const fake = fakeTemporal();
    const text = await pgr(args, { fake });
    expect({ code: text.code, out: text.out }).toEqual({ code, out: '' });
    expect(text.err).toMatch(/^error: [^A-Z]/);
    expect(text.err).toMatch(message);
    expect(text.err).toMatch(/\nhint: /);
    const json = await pgr([...args, '--json'], { fake });
    expect(json.code).toBe(code);
    expect(json.err).toBe('');
    expect(json.json()).toMatchObject({
      api: 1,
      error: { code: type, message: expect.stringMatching(message) as string },
    });
    expect(json.json()['error']).toMatchObject({
      hint: expect.any(String) as string,
      next: expect.any(Array) as string[],
    });
    expect(fake.started).toEqual([]);
    expect(fake.updates).toEqual([]);
  });

  test('no config at all says where it looked, exit 3', async () => {
    const result = await pgr(['runs'], { config: null });
    expect(result.code).toBe(3);
    expect(result.err).toMatch(/next: pgr lab up/);
  });

  test('a wrong config reports every problem with its path, exit 2', async () => {
    const result = await pgr(['config', 'check', '--json'], { config: 'version: 1\nstateDirr: x\n' });
    expect(result.code).toBe(2);
    expect(result.json()).toMatchObject({
      error: {
        code: 'ConfigInvalid',
        problems: expect.arrayContaining([
          { path: 'stateDirr', problem: 'unknown key; did you mean "stateDir"?' },
        ]) as unknown[],
      },
    });
  });

  test('an error that nobody typed is a bug: exit 70 and its stack', async () => {
    const fake = fakeTemporal({ views: { [RUN]: [new TypeError('boom')] } });
    const result = await pgr(['show', RUN], { fake });
    expect(result.code).toBe(70);
    expect(result.err).toMatch(/error: boom\nTypeError: boom\n +at /);
  });
});

describe('pitr', () => {
  test('prints the run and returns at once', async () => {
    const fake = fakeTemporal();
    const result = await pgr(['pitr', 'lab', '--to', '2026-11-21T04:41:00+01:00', '--reason', 'oops', '--promote'], {
      fake,
    });
    expect(result.code).toBe(0);
    expect(result.out).toContain('lab/pitr/20261121-034500');
    expect(result.out).toContain('2026-11-21T03:41:00.000000Z (4 min ago)');
    expect(result.out).toContain('next:         pgr watch lab/pitr/20261121-034500');
    expect(fake.started).toEqual([
      {
        workflow: 'pitr',
        id: 'lab/pitr/20261121-034500',
        environment: 'lab',
        requestedBy: 'tester',
        reason: 'oops',
        summary: 'pitr of lab to 2026-11-21T03:41:00.000000Z',
        input: {
          environment: 'lab',
          requestedBy: 'tester',
          reason: 'oops',
          requestedAt: '2026-11-21T03:45:00.000Z',
          target: { kind: 'time', value: '2026-11-21T03:41:00.000000Z' },
          promote: true,
        },
      },
    ]);
    expect(fake.closed).toBe(true);
  });

  test('--json is run, runId and ui', async () => {
    const result = await pgr(['pitr', 'lab', '--ago', '15m', '--host', 'chicago', '--ttl', '2h', '--json']);
    expect(result.json()).toEqual({
      api: 1,
      run: 'lab/pitr/20261121-034500',
      runId: RUN_ID,
      ui: `http://127.0.0.1:8233/namespaces/test/workflows/lab%2Fpitr%2F20261121-034500/${RUN_ID}`,
    });
  });

  test('--ago is counted from now', async () => {
    const fake = fakeTemporal();
    await pgr(['pitr', 'lab', '--ago', '15m', '--host', 'chicago', '--ttl', '2h'], { fake });
    expect(fake.started[0]?.input).toMatchObject({
      target: { kind: 'time', value: '2026-11-21T03:30:00.000000Z' },
      host: 'chicago',
      ttlSeconds: 7200,
      promote: false,
    });
  });

  test('a second start in the same second takes the next second', async () => {
    const fake = fakeTemporal();
    let taken = 2;
    Object.defineProperty(fake.answers, 'start', {
      get: () => (taken-- > 0 ? new PgrFailure('EnvironmentBusy', 'taken') : undefined),
    });
    const result = await pgr(['pitr', 'lab', '--to', 'latest', '--json'], { fake });
    expect(result.json()['run']).toMatch(/^lab\/pitr\/2026112 ?1-03450[12]$/);
  });

  const PLAN_ID = 'lab/pitr/20261121-034500';
  const plan = {
    hash: 'abc',
    target: { kind: 'time', value: '2026-11-21T03:41:00.000000Z' },
    summary: ['restore lab'],
  };

  test('--plan waits for the plan, prints it and changes nothing', async () => {
    const done = runView({ run: PLAN_ID, status: 'completed', plan });
    const fake = fakeTemporal({ views: { [PLAN_ID]: [runView(), done] } });
    const result = await pgr(['pitr', 'lab', '--to', 'latest', '--plan', '--promote'], { fake });
    expect(result.code).toBe(0);
    expect(result.out).toContain('restore lab');
    expect(fake.started[0]?.input).toMatchObject({ planOnly: true, promote: false });
  });

  test('--plan of a target that cannot be reached: the reason, exit 5', async () => {
    const failure = {
      step: 'check-target',
      code: 'TargetNotRecoverable',
      message: '2026-11-21T03:41:00Z is after the last archived commit 2026-11-21T03:40:00Z',
      hint: 'the latest possible target is 2026-11-21T03:40:00Z',
      choices: [],
    };
    const fake = fakeTemporal({ views: { [PLAN_ID]: [runView({ status: 'failed', failure })] } });
    const result = await pgr(['pitr', 'lab', '--to', '2026-11-21T03:41:00Z', '--plan', '--json'], { fake });
    expect(result.code).toBe(5);
    expect(result.json()).toEqual({
      api: 1,
      error: { code: 'TargetNotRecoverable', message: failure.message, hint: failure.hint, next: ['pgr window lab'] },
    });
  });
});

describe('--wait', () => {
  const wait = async (views: Parameters<typeof fakeTemporal>[0], ...flags: string[]) =>
    pgr(['pitr', 'lab', '--to', 'latest', '--json', ...(flags.length > 0 ? flags : ['--wait'])], {
      fake: fakeTemporal(views),
    });
  const id = 'lab/pitr/20261121-034500';

  test('ends well: exit 0 and the document of show', async () => {
    const result = await wait({ views: { [id]: [runView(), runView({ status: 'completed' })] } });
    expect(result.code).toBe(0);
    expect(result.json()).toMatchObject({
      api: 1,
      run: RUN,
      runbook: 'pitr',
      status: 'completed',
      steps: expect.any(Array) as [],
    });
  });
  test('ends at a gate: exit 7', async () => {
    const result = await wait({ views: { [id]: [runView(), waitingView()] } });
    expect(result.code).toBe(7);
    expect(result.json()).toMatchObject({ gate: { name: 'promote', code: 'K7QF2M' } });
  });
  test('ends when the run needs attention: exit 9', async () => {
    const failure = {
      step: 'restore-base',
      code: 'BackupCorrupt',
      message: 'm',
      hint: 'h',
      choices: ['retry' as const],
    };
    const result = await wait({ views: { [id]: [runView({ status: 'needs-attention', failure })] } });
    expect(result.code).toBe(9);
  });
  test('runs out: exit 8 and how to come back', async () => {
    const result = await wait({ views: { [id]: [runView()] } }, '--wait=3s');
    expect(result.code).toBe(8);
    expect(result.err).toContain('next: pgr watch lab/pitr/20261121-034500');
  });
  test.each([
    ['rejected', 1],
    ['aborted', 1],
    ['failed', 1],
  ] as const)('a run that is %s: exit %i', async (status, code) => {
    expect((await wait({ views: { [id]: [runView({ status })] } })).code).toBe(code);
  });
  test('a run that a check refused has the exit code of the refusal', async () => {
    const failure = { step: 's', code: 'TargetInHole', message: 'm', hint: 'h', choices: [] };
    expect((await wait({ views: { [id]: [runView({ status: 'failed', failure })] } })).code).toBe(5);
  });
  test('the gate of the child runbook counts too', async () => {
    const parent = runView({ child: 'lab/change' });
    const failure = {
      step: 'fence-old-cluster',
      code: 'FenceFailed',
      message: 'm',
      hint: 'h',
      choices: ['retry' as const],
    };
    const child = runView({ run: 'lab/change', runbook: 'promote', status: 'needs-attention', failure });
    const result = await wait({ views: { [id]: [parent], 'lab/change': [child] } });
    expect(result.code).toBe(9);
  });
  test('a worker that is away for a while is waited for', async () => {
    const away = new PgrFailure('HostUnreachable', 'no worker answers on queue orchestrator');
    const result = await wait({ views: { [id]: [away, away, runView({ status: 'completed' })] } });
    expect(result.code).toBe(0);
    expect(result.err.match(/no worker answers/g)).toHaveLength(1);
  });
  test('Ctrl-C detaches: exit 130, and nothing is aborted', async () => {
    const interrupt = new AbortController();
    interrupt.abort();
    const fake = fakeTemporal({ views: { [id]: [runView()] } });
    const result = await pgr(['pitr', 'lab', '--to', 'latest', '--watch'], { fake, interrupted: interrupt.signal });
    expect(result.code).toBe(130);
    expect(result.err).toContain('next: pgr watch lab/pitr/20261121-034500');
    expect(fake.updates).toEqual([]);
  });
  test('--wait before the environment does not swallow it', async () => {
    const fake = fakeTemporal({ views: { [id]: [runView({ status: 'completed' })] } });
    const result = await pgr(['pitr', '--wait', 'lab', '--to', 'latest'], { fake });
    expect(result.code).toBe(0);
    expect((await pgr(['pitr', 'lab', '--to', 'latest', '--wait', '5m'], { fake })).code).toBe(0);
  });
});

describe('a second change while one runs', () => {
  test('promote: exit 5 and who holds the environment', async () => {
    const busy = new PgrFailure(
      'EnvironmentBusy',
      'environment lab is held by lab/change (promote, running, asked for by bo) at step swap-in',
      {
        next: ['pgr watch lab/change'],
      },
    );
    const recovery = {
      ref: { environment: 'lab', sandbox: 's', host: 'dallas' },
      sandbox: {},
      outcome: 'kept',
      plan: {},
      evidence: [],
      promotion: null,
    };
    const fake = fakeTemporal({
      answers: { start: busy },
      listed: [listedRun({ open: false })],
      outcomes: { [RUN]: { state: 'completed', result: recovery, error: null } },
    });
    const result = await pgr(['promote', 'lab', '--from', RUN], { fake });
    expect(result.code).toBe(5);
    expect(result.err).toContain('held by lab/change');
    expect(result.err).toContain('next: pgr watch lab/change');
  });

  test.each([
    ['another environment', { environment: 'other' }, 'kept', /restored environment other, not lab/],
    ['a sandbox that is promoted already', { environment: 'lab' }, 'promoted', /was promoted already/],
  ])('promote refuses %s', async (_title, ref, outcome, message) => {
    const recovery = { ref, sandbox: {}, outcome, plan: {}, evidence: [], promotion: null };
    const fake = fakeTemporal({
      listed: [listedRun({ open: false })],
      outcomes: { [RUN]: { state: 'completed', result: recovery, error: null } },
    });
    const result = await pgr(['promote', 'lab', '--from', RUN], { fake });
    expect(result.code).toBe(5);
    expect(result.err).toMatch(message);
    expect(fake.started).toEqual([]);
  });

  test('promote of a rejected recovery uses the sandbox that its failure names', async () => {
    const recovery = {
      ref: { environment: 'lab', sandbox: 's', host: 'dallas' },
      sandbox: {},
      outcome: 'kept',
      plan: { p: 1 },
      evidence: [],
      promotion: null,
    };
    const fake = fakeTemporal({
      listed: [listedRun({ open: false })],
      outcomes: { [RUN]: { state: 'failed', result: recovery, error: new Error('rejected') } },
    });
    expect((await pgr(['promote', 'lab', '--from', RUN], { fake })).code).toBe(0);
    expect(fake.started[0]).toMatchObject({
      workflow: 'promote',
      id: 'lab/change',
      input: { fromRun: RUN, recovery: { p: 1 }, approved: null },
    });
  });
});

describe('decisions', () => {
  const outcome = {
    gate: 'promote',
    decision: 'approve',
    by: 'tester',
    identity: 'declared',
    counted: true,
    why: null,
    approvals: 1,
    required: 1,
  };

  test('approve sends the decision and says what is still needed', async () => {
    const fake = fakeTemporal({ views: { [RUN]: [waitingView()] }, answers: { update: { ...outcome, required: 2 } } });
    const result = await pgr(['approve', RUN, 'promote', '--code', 'k7qf2m', '--comment', 'looks right'], { fake });
    expect(result.code).toBe(0);
    expect(result.out).toContain('still needed:  1 approval');
    expect(fake.updates).toEqual([
      {
        run: RUN,
        runId: RUN_ID,
        update: 'decide',
        input: { gate: 'promote', code: 'K7QF2M', by: 'tester', decision: 'approve', comment: 'looks right' },
      },
    ]);
  });

  test.each([
    'wrong code',
    'early: gate promote is not open yet',
    'stale code: plan or evidence changed since; look again and use the code shown now',
    'foreign: tester is not one of those who may decide here (ana)',
    'own request: the person who asked for the run may not approve it',
  ])('a decision that is refused (%s): exit 6 and the reason', async (why) => {
    const fake = fakeTemporal({
      views: { [RUN]: [waitingView()] },
      answers: { update: { ...outcome, counted: false, why } },
    });
    const result = await pgr(['approve', RUN, 'promote', '--code', 'AAAAAA', '--json'], { fake });
    expect(result.code).toBe(6);
    expect(result.json()).toMatchObject({
      error: { code: 'DecisionRefused', message: expect.stringContaining(why) as string },
    });
  });

  test('a gate of the child is decided there, although the parent was named', async () => {
    const parent = runView({ child: 'lab/change' });
    const child = waitingView({ run: 'lab/change', runId: 'child' });
    const fake = fakeTemporal({ views: { [RUN]: [parent], 'lab/change': [child] }, answers: { update: outcome } });
    await pgr(['reject', RUN, 'promote', '--code', 'K7QF2M'], { fake });
    expect(fake.updates[0]).toMatchObject({ run: 'lab/change', runId: 'child', input: { decision: 'reject' } });
  });

  test('--print sends nothing and prints the JSON for the Temporal UI', async () => {
    const fake = fakeTemporal({ views: { [RUN]: [waitingView()] } });
    const result = await pgr(['approve', RUN, 'promote', '--code', 'K7QF2M', '--print'], { fake });
    expect(JSON.parse(result.out)).toEqual({ gate: 'promote', code: 'K7QF2M', by: 'tester' });
    expect(result.err).toContain('Send a Signal, approve');
    expect(fake.updates).toEqual([]);
  });

  test('--sign signs exactly this decision of this run, as ssh-keygen verifies it', async () => {
    const dir = mkdtempSync(path.join(os.tmpdir(), 'pgr-sign-'));
    try {
      const key = path.join(dir, 'key');
      execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
      const fake = fakeTemporal({ views: { [RUN]: [waitingView()] }, answers: { update: outcome } });
      await pgr(['approve', RUN, 'promote', '--code', 'K7QF2M', '--by', 'ana', '--sign', key], { fake });
      const { signature } = fake.updates[0]?.input as { signature: string };
      writeFileSync(path.join(dir, 'sig'), `${signature}\n`);
      const publicKey = readFileSync(`${key}.pub`, 'utf8').split(' ').slice(0, 2).join(' ');
      writeFileSync(path.join(dir, 'allowed'), `ana ${publicKey}\n`);
      const args = [
        '-Y',
        'verify',
        '-f',
        path.join(dir, 'allowed'),
        '-I',
        'ana',
        '-n',
        'pgr',
        '-s',
        path.join(dir, 'sig'),
      ];
      const text = signedTextFor({ gate: 'promote', code: 'K7QF2M', by: 'ana', decision: 'approve' }, RUN);
      expect(execFileSync('ssh-keygen', args, { input: text, encoding: 'utf8' })).toContain(
        'Good "pgr" signature for ana',
      );
      const missing = await pgr(['approve', RUN, 'promote', '--code', 'K7QF2M', '--sign', path.join(dir, 'none')], {
        fake,
      });
      expect(missing.code).toBe(2);
      expect(missing.err).toMatch(/cannot sign with .*none/);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});

describe('a run that needs attention', () => {
  const failure = {
    step: 'restore-base',
    code: 'StoreUnavailable',
    message: 's3 is down',
    hint: 'wait',
    choices: ['retry' as const, 'abort' as const],
  };

  test('show says what happened and the exact commands', async () => {
    const fake = fakeTemporal({ views: { [RUN]: [runView({ status: 'needs-attention', failure })] } });
    const { out } = await pgr(['show', RUN], { fake });
    expect(out).toContain('step restore-base failed: StoreUnavailable');
    expect(out).toContain(`next: pgr retry ${RUN}`);
    expect(out).toContain(`next: pgr abort ${RUN} --reason TEXT`);
  });
  test('retry goes to the child that failed, abort to the run that was named', async () => {
    const fake = fakeTemporal({
      views: {
        [RUN]: [runView({ child: 'lab/change' })],
        'lab/change': [runView({ run: 'lab/change', runId: 'c', status: 'needs-attention', failure })],
      },
      answers: { update: { accepted: true, why: null } },
    });
    await pgr(['retry', RUN], { fake });
    await pgr(['abort', RUN, '--reason', 'wrong target'], { fake });
    expect(fake.updates.map(({ run, update, input }) => [run, update, input])).toEqual([
      ['lab/change', 'retry', { by: 'tester', reason: '' }],
      [RUN, 'abort', { by: 'tester', reason: 'wrong target' }],
    ]);
  });
  test('a command that the run does not take: exit 5 and its reason', async () => {
    const fake = fakeTemporal({
      views: { [RUN]: [runView()] },
      answers: { update: { accepted: false, why: 'nothing failed' } },
    });
    const result = await pgr(['retry', RUN], { fake });
    expect(result.code).toBe(5);
    expect(result.err).toContain('does not take retry: nothing failed');
  });
  test('discard of a run that still uses its sandbox is refused', async () => {
    const fake = fakeTemporal({ views: { [RUN]: [waitingView()] } });
    const result = await pgr(['discard', RUN], { fake });
    expect(result.code).toBe(5);
    expect(fake.updates).toEqual([]);
  });
  test('discard tells the keeper of the sandbox', async () => {
    const fake = fakeTemporal({
      views: { [RUN]: [runView({ status: 'completed' })] },
      answers: { update: { accepted: true, why: null } },
    });
    const result = await pgr(['discard', RUN, '--json'], { fake });
    expect(result.code).toBe(0);
    expect(fake.updates).toEqual([
      { run: `lab/sandbox/${RUN_ID}`, update: 'discard', input: { by: 'tester', reason: '' } },
    ]);
  });
});

describe('names of runs', () => {
  const two = [listedRun(), listedRun({ run: 'lab/pitr/20261121-034300', runId: 'b' })];
  test('a unique start will do', async () => {
    const fake = fakeTemporal({ listed: two, views: { [RUN]: [runView()] } });
    expect((await pgr(['show', 'lab/pitr/20261121-0342', '--json'], { fake })).json()).toMatchObject({ run: RUN });
  });
  test('a start of several is refused with the candidates', async () => {
    const result = await pgr(['show', 'lab/pitr'], { fake: fakeTemporal({ listed: two }) });
    expect(result.code).toBe(3);
    expect(result.err).toContain('names 2 runs: lab/pitr/20261121-034200, lab/pitr/20261121-034300');
  });
});

describe('show and watch', () => {
  test('progress of the running step comes from the heartbeat, with rate and ETA', async () => {
    const view = runView();
    view.steps[2] = { ...view.steps[2]!, status: 'running', startedAt: '2026-11-21T03:44:50.000Z', attempts: 1 };
    const fake = fakeTemporal({
      views: { [RUN]: [view] },
      pending: [
        {
          activity: 'restoreBase',
          attempt: 1,
          lastFailure: null,
          lastFailureCode: null,
          progress: { done: 500_000_000, total: 1_000_000_000, unit: 'bytes' },
        },
      ],
    });
    const { steps } = (await pgr(['show', RUN, '--json'], { fake })).json() as { steps: { progress?: unknown }[] };
    expect(steps[2]?.progress).toEqual({
      done: 500_000_000,
      total: 1_000_000_000,
      unit: 'bytes',
      ratePerSecond: 50_000_000,
      etaSeconds: 10,
    });
    const { out } = await pgr(['show', RUN], { fake });
    expect(out).toContain('500 MB of 1.0 GB  50 %  50 MB/s  ETA 10 s');
  });

  test('every line of the live view fits 80 columns, but for those that are there to be copied', async () => {
    const fake = fakeTemporal({ views: { [RUN]: [runView(), waitingView(), runView({ status: 'completed' })] } });
    const { err } = await pgr(['watch', RUN], { fake, isTty: true });
    const lines = err.replaceAll(new RegExp(`${String.fromCharCode(27)}\\[[?0-9;]*[a-zA-Z]`, 'g'), '').split('\n');
    expect(lines.filter((line) => line.length > 80 && !/pgr (approve|reject)|in the ui/.test(line))).toEqual([]);
    expect(err).toContain(`pgr approve ${RUN} promote --code K7QF2M`);
  });

  test('off a terminal it is one line a change, and nothing twice', async () => {
    const fake = fakeTemporal({
      views: { [RUN]: [runView(), runView(), waitingView(), waitingView(), runView({ status: 'completed' })] },
    });
    const { err, code } = await pgr(['watch', RUN], { fake });
    expect(code).toBe(0);
    expect(err).not.toContain('\u001b');
    expect(err.match(/: running$/gm)).toHaveLength(1);
    expect(err.match(/pgr approve/g)).toHaveLength(1);
    expect(err.trim().split('\n').at(-1)).toMatch(/: completed$/);
  });

  test('text from outside cannot move the cursor', async () => {
    const fake = fakeTemporal({ views: { [RUN]: [runView({ reason: 'x\u001b[2J\ny' })] } });
    expect((await pgr(['show', RUN], { fake })).out).not.toContain('\u001b');
  });
});

describe('reads', () => {
  test('window prints bases, holes and the next command', async () => {
    const window = {
      environment: 'lab',
      systemIdentifier: '1',
      timeline: 1,
      earliest: '2026-11-20T00:00:00.000000Z',
      latest: '2026-11-21T03:44:00.000000Z',
      lastCommit: { xid: '7', lsn: '0/5', time: '2026-11-21T03:44:00.000000Z' },
      bases: [
        {
          id: 'b1',
          kind: 'full',
          startedAt: '2026-11-20T00:00:00Z',
          endedAt: '2026-11-20T00:01:00Z',
          startLsn: '0/1',
          stopLsn: '0/2',
          timeline: 1,
          bytes: 1_500_000,
          rawBytes: 1,
          parentId: null,
          usable: false,
          why: 'manifest missing',
        },
      ],
      holes: [
        {
          timeline: 1,
          from: 'a',
          to: 'b',
          firstMissing: '000000010000000000000004',
          lastMissing: '000000010000000000000004',
        },
      ],
      warnings: ['careful'],
    };
    const fake = fakeTemporal({ answers: { window } });
    const { out } = await pgr(['window', 'lab'], { fake });
    expect(out).toContain('no: manifest missing');
    expect(out).toContain('000000010000000000000004');
    expect(out).toContain('warning: careful');
    expect(out).toContain('next: pgr pitr lab --to 2026-11-21T03:44:00.000000Z --plan');
    expect((await pgr(['window', 'lab', '--json'], { fake })).json()).toEqual({ api: 1, ...window });
  });

  test('check: exit 5 when something is wrong, 0 when not', async () => {
    const good = { check: 'archive', expected: 'fresh', actual: 'fresh', ok: true };
    const fake = fakeTemporal({ answers: { check: { checks: [good] } } });
    expect((await pgr(['check', 'lab'], { fake })).code).toBe(0);
    fake.answers.check = { checks: [good, { ...good, check: 'space', ok: false }] };
    const result = await pgr(['check', 'lab', '--json'], { fake });
    expect(result.code).toBe(5);
    expect(result.json()).toMatchObject({ ok: false });
  });

  test('notify test: who was reached and who was not, exit 1 when one was not', async () => {
    const reached = { channel: 'log', outcome: 'delivered', why: null };
    const fake = fakeTemporal({ answers: { notifyTest: { channels: [reached] } } });
    const good = await pgr(['notify', 'test', 'lab', '--by', 'ana'], { fake });
    expect(good.code).toBe(0);
    expect(good.out).toContain('log: delivered');
    expect(fake.started.at(-1)?.input).toEqual({ environment: 'lab', channel: null, requestedBy: 'ana' });
    const lost = { channel: 'ops', outcome: 'failed', why: 'http status 404 (no_service)' };
    fake.answers.notifyTest = { channels: [reached, lost] };
    const text = await pgr(['notify', 'test', 'lab'], { fake });
    expect(text.code).toBe(1);
    expect(text.out).toContain('ops: failed: http status 404 (no_service)');
    expect(text.out).toContain('lab: 1 of 2 channels failed');
    const json = await pgr(['notify', 'test', 'lab', '--channel', 'ops', '--json'], { fake });
    expect(json.json()).toEqual({ api: 1, environment: 'lab', ok: false, channels: [reached, lost] });
    expect(fake.started.at(-1)?.input).toMatchObject({ channel: 'ops' });
  });

  test('notify test of an environment that the config does not have sends nothing, exit 3', async () => {
    const fake = fakeTemporal();
    const result = await pgr(['notify', 'test', 'nowhere'], { fake });
    expect(result.code).toBe(3);
    expect(fake.started).toEqual([]);
  });

  test('check without the worker of a host names it, and looks no further', async () => {
    const result = await pgr(['check', 'lab'], { fake: fakeTemporal({ workers: ['orchestrator'] }) });
    expect(result.code).toBe(5);
    expect(result.out).toContain('worker on queue host/dallas: nobody polls it');
  });

  test('runs joins what Temporal lists with what only the records know', async () => {
    const fake = fakeTemporal({ listed: [listedRun({ step: 'replay-wal', target: 'latest' })] });
    const { out } = await pgr(['runs'], { fake });
    expect(out).toMatch(/RUN +RUNBOOK +STATUS/);
    expect(out).toMatch(/lab\/pitr\/20261121-034200 +pitr +running/);
    const json = (await pgr(['runs', '--status', 'completed', '--json'], { fake })).json();
    expect(json).toEqual({ api: 1, runs: [] });
  });

  test('runs without a worker says that older runs are missing', async () => {
    const result = await pgr(['runs'], { fake: fakeTemporal({ workers: [] }) });
    expect(result.code).toBe(0);
    expect(result.err).toContain('no worker answers');
  });
});
