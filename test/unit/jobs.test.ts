import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { ActivityCancellationDetails } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';

import { endJob } from '../../activities/jobs/end-job.js';
import { readJobState } from '../../activities/jobs/job-files.js';
import { createJobRunner } from '../../activities/jobs/job-runner.js';
import { livingMembers } from '../../activities/jobs/process-group.js';
import { startJob } from '../../activities/jobs/start-job.js';
import { runJobOrFail } from '../../activities/lib/exec-job.js';
import type { JobResult, JobRunner, JobSpec } from '../../activities/lib/job-runner.js';
import { isAlive, type ProcessIdentity } from '../../activities/lib/process-identity.js';

const silent = { info: () => undefined, warn: () => undefined };

let stateDir = '';
let jobs: JobRunner;
let dir = '';

beforeEach(async () => {
  stateDir = await mkdtemp(path.join(tmpdir(), 'pgr-jobs-'));
  jobs = createJobRunner({ stateDir, log: silent });
  dir = jobs.directory('run.step');
});

afterEach(async () => {
  await endJob(dir, 0);
  await rm(stateDir, { recursive: true, force: true });
});

const shell = (script: string, more: Partial<JobSpec> = {}): JobSpec => ({
  id: 'run.step',
  argv: ['/bin/sh', '-c', script],
  ...more,
});

async function until(condition: () => Promise<boolean>, deadlineMs = 10_000): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error('the condition did not come true in time');
    await delay(10);
  }
}

async function runningClaim(): Promise<{ command: ProcessIdentity; wrapper: ProcessIdentity }> {
  await until(async () => (await readJobState(dir)).kind === 'running');
  const state = await readJobState(dir);
  if (state.kind !== 'running') throw new Error(`the job is ${state.kind}`);
  return state.claim;
}

const linesOf = async (name: string): Promise<string[]> =>
  (await readFile(path.join(stateDir, name), 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');

describe('a job', () => {
  test('returns exit code, last lines and what it left in result.json', async () => {
    const result = await jobs.run(
      shell('echo one; echo two >&2; echo \'{"rows":3}\' > $PGR_JOB_DIR/result.json; exit 4'),
    );
    expect(result).toMatchObject({ running: false, exitCode: 4, signal: null, output: { rows: 3 } });
    expect(result.logTail).toEqual(['one', 'two']);
    expect(result.logFile).toBe(path.join(dir, 'log'));
  });

  test('that ended is not run again by a second call', async () => {
    const script = `echo ran >> ${stateDir}/ran`;
    await jobs.run(shell(script));
    const again = await jobs.run(shell(script));
    expect(again.exitCode).toBe(0);
    expect(await linesOf('ran')).toEqual(['ran']);
  });

  test('that was forgotten runs again, and its log is kept', async () => {
    await jobs.run(shell('echo first; echo {} > $PGR_JOB_DIR/result.json; exit 1'));
    await jobs.forget('run.step');
    const again = await jobs.run(shell('echo second'));
    expect(again).toMatchObject({ exitCode: 0, output: null });
    expect(again.logTail).toEqual(['first', 'second']);
  });

  test('gets a minimal environment, its secrets are neither in the spec nor in the shown lines', async () => {
    process.env['PGR_TEST_LEAK'] = 'leaked';
    const result = await jobs.run(
      shell(
        'echo "leak=$PGR_TEST_LEAK password=$PGPASSWORD user=$PGUSER tz=$TZ home=$HOME"; echo postgresql://a:b@h/d',
        {
          env: { PGPASSWORD: 'swordfish', PGUSER: 'ana' },
        },
      ),
    );
    delete process.env['PGR_TEST_LEAK'];
    expect(result.logTail[0]).toContain('leak= password=*** user=ana tz=UTC');
    expect(result.logTail[1]).toBe('postgresql://a:***@h/d');
    for (const name of ['spec.json', 'run.sh', 'pid']) {
      expect(await readFile(path.join(dir, name), 'utf8')).not.toContain('swordfish');
    }
    expect(await readFile(path.join(dir, 'spec.json'), 'utf8')).toContain('PGPASSWORD');
  });

  test('is a session of its own', async () => {
    const result = await jobs.run(shell('cut -d" " -f5,6 /proc/$$/stat; echo; cat $PGR_JOB_DIR/pid'));
    const [groupAndSession = '', , , wrapper = ''] = result.logTail;
    const group = groupAndSession.split(' ')[0] ?? '';
    expect(groupAndSession).toBe(`${group} ${group}`);
    expect(result.logTail).toContain(group);
    expect(wrapper).not.toBe('');
    expect(group).not.toBe(String(process.pid));
  });

  test('that crashed says by which signal', async () => {
    const result = await jobs.run(shell('kill -SEGV $$'));
    expect(result).toMatchObject({ exitCode: null, signal: 'SIGSEGV' });
  });

  test.each(['TERM', 'KILL', 'HUP'])(
    'that was ended with %s from outside (a host going down) is started again',
    async (signal) => {
      const result = await jobs.run(
        shell(`echo ran >> ${stateDir}/ran; [ $(wc -l < ${stateDir}/ran) -gt 1 ] || kill -${signal} $$`),
      );
      expect(result.exitCode).toBe(0);
      expect(await linesOf('ran')).toHaveLength(2);
    },
  );

  test('that was ended by somebody who is not its worker goes on with the next attempt', async () => {
    const script = `echo ran >> ${stateDir}/ran; [ $(wc -l < ${stateDir}/ran) -gt 1 ] || exec sleep 60`;
    await jobs.run(shell(script), { until: async () => (await linesOf('ran')).length > 0 });
    await endJob(dir);
    expect((await jobs.run(shell(script))).exitCode).toBe(0);
    expect(await linesOf('ran')).toHaveLength(2);
  });

  test('whose program does not exist fails with its name', async () => {
    const failing = runJobOrFail(jobs, { id: 'run.step', argv: ['/nowhere/pg_basebackup', '-D', 'x'] });
    await expect(failing).rejects.toMatchObject({
      type: 'CommandFailed',
      message: expect.stringMatching(/^\/nowhere\/pg_basebackup -D x ended with exit code 127: .*not found/) as unknown,
    });
  });

  test('arguments with spaces, quotes and dollars arrive as they are', async () => {
    const argv = ['/usr/bin/printf', '[%s]', 'a b', `"$HOME"'`, '*', ''];
    const result = await jobs.run({ id: 'run.step', argv });
    expect(result.logTail).toEqual([`[a b]["$HOME"'][*][]`]);
  });

  test('refuses an id that leads out of the jobs folder', () => {
    expect(() => jobs.directory('../etc')).toThrow('is not a job id');
  });
});

describe('a claim', () => {
  test('of 20 starters at the same moment runs the command once', async () => {
    const spec = shell(`echo $$ >> ${stateDir}/ran; sleep 0.3`);
    const runners = Array.from({ length: 20 }, () => createJobRunner({ stateDir, log: silent }));
    const results = await Promise.all(runners.map((runner) => runner.run(spec)));
    expect(results.map((result) => result.exitCode)).toEqual(Array.from({ length: 20 }, () => 0));
    expect(await linesOf('ran')).toHaveLength(1);
  }, 30_000);

  test('of 20 wrappers forced into one generation is won by one', async () => {
    const spec = shell(`echo $$ >> ${stateDir}/ran; sleep 0.3`);
    const started = await Promise.all(Array.from({ length: 20 }, () => startJob(dir, spec, 1)));
    await until(async () => started.every((one) => one.ended()) && (await readJobState(dir)).kind === 'ended');
    expect(await linesOf('ran')).toHaveLength(1);
  }, 30_000);

  test('whose command and wrapper were killed is followed by one more start, again by one of many', async () => {
    const spec = shell(`echo $$ >> ${stateDir}/ran; [ $(wc -l < ${stateDir}/ran) -gt 1 ] || exec sleep 60`);
    const first = jobs.run(spec, { until: async () => (await linesOf('ran')).length > 0 });
    expect((await first).running).toBe(true);
    const claim = await runningClaim();
    process.kill(claim.wrapper.pid, 'SIGKILL');
    process.kill(claim.command.pid, 'SIGKILL');
    await until(async () => (await readJobState(dir)).kind === 'lost');
    const results = await Promise.all(
      Array.from({ length: 8 }, () => createJobRunner({ stateDir, log: silent }).run(spec)),
    );
    expect(results.map((result) => result.exitCode)).toEqual(Array.from({ length: 8 }, () => 0));
    expect(await linesOf('ran')).toHaveLength(2);
  }, 30_000);

  test('whose wrapper alone was killed keeps others out while the command lives', async () => {
    const spec = shell(`echo $$ >> ${stateDir}/ran; sleep 0.5`);
    await jobs.run(spec, { until: async () => (await linesOf('ran')).length > 0 });
    const claim = await runningClaim();
    process.kill(claim.wrapper.pid, 'SIGKILL');
    await until(async () => !(await isAlive(claim.wrapper)));
    expect((await readJobState(dir)).kind).toBe('running');
    await until(async () => (await readJobState(dir)).kind === 'lost');
    expect(await linesOf('ran')).toHaveLength(1);
  });

  test('of an earlier boot is dead whatever runs under its pid now', async () => {
    await jobs.run(shell('sleep 60'), { until: () => Promise.resolve(true) });
    const file = path.join(dir, 'claim-1');
    const lines = (await readFile(file, 'utf8')).split('\n');
    const claim = await runningClaim();
    lines[4] = '00000000-0000-0000-0000-000000000000';
    await writeFile(file, lines.join('\n'));
    expect((await readJobState(dir)).kind).toBe('lost');
    process.kill(-claim.wrapper.pid, 'SIGKILL');
    await until(async () => !(await isAlive(claim.command)));
  });

  test('a job that dies at once three times is lost, not started for ever', async () => {
    const suicide = shell(`echo ran >> ${stateDir}/ran; kill -9 $PPID; kill -9 $$`);
    await expect(jobs.run(suicide)).rejects.toMatchObject({ type: 'JobLost', nonRetryable: false });
    expect(await linesOf('ran')).toHaveLength(3);
  });

  test('children of a killed job are ended before it starts again', async () => {
    const script = `[ -f ${stateDir}/child ] && exit 0; sleep 300 & echo $! > ${stateDir}/child; wait`;
    await jobs.run(shell(script), { until: async () => (await linesOf('child')).length > 0 });
    const claim = await runningClaim();
    process.kill(claim.wrapper.pid, 'SIGKILL');
    process.kill(claim.command.pid, 'SIGKILL');
    expect(await livingMembers(claim.wrapper.pid)).toContain(Number((await linesOf('child'))[0]));
    expect((await jobs.run(shell(script))).exitCode).toBe(0);
    expect(await livingMembers(claim.wrapper.pid)).toEqual([]);
  });
});

describe('the death of the worker', () => {
  test('in the middle of a job leaves the job running, and the next attempt attaches to it', async () => {
    const program = `
      const { spawn } = require('node:child_process');
      spawn('/bin/sh', [process.argv[1], 'wrap', process.argv[2], '1', '/bin/sh', '-c', process.argv[3]],
        { detached: true, stdio: 'ignore', cwd: '/', env: { PGR_JOB_DIR: process.argv[2], PATH: process.env.PATH } });
      setInterval(() => undefined, 1000);`;
    const script = `echo ran >> ${stateDir}/ran; while [ ! -f ${stateDir}/go ]; do sleep 0.05; done; exit 3`;
    await jobs.run(shell('exit 0')); // writes run.sh
    await rm(path.join(dir, 'claim-1'));
    await rm(path.join(dir, 'exit'));
    const worker = spawn(process.execPath, ['-e', program, path.join(dir, 'run.sh'), dir, script], { stdio: 'ignore' });
    const claim = await runningClaim();
    worker.kill('SIGKILL');
    await new Promise((resolve) => worker.once('exit', resolve));
    await until(async () => (await linesOf('ran')).length > 0);
    expect(await isAlive(claim.command)).toBe(true);
    const attached = jobs.run(shell(script));
    await writeFile(path.join(stateDir, 'go'), '');
    expect((await attached).exitCode).toBe(3);
    expect(await linesOf('ran')).toHaveLength(1);
  }, 20_000);
});

describe('cancellation', () => {
  async function runUnder(
    environment: MockActivityEnvironment,
  ): Promise<{ running: Promise<JobResult>; claim: ProcessIdentity; group: number }> {
    const script = 'trap "" TERM; sleep 300 & sleep 300 & wait; sleep 300';
    const running = environment.run<[], JobResult, () => Promise<JobResult>>(() => jobs.run(shell(script)));
    running.catch(() => undefined);
    const { command, wrapper } = await runningClaim();
    return { running, claim: command, group: wrapper.pid };
  }

  test.each([
    ['PAUSED', { paused: true }],
    ['RESET', { reset: true }],
    ['WORKER_SHUTDOWN', { workerShutdown: true }],
    ['TIMED_OUT', { timedOut: true }],
    ['NOT_FOUND', { notFound: true }],
  ] as const)('%s leaves the job alone', async (reason, details) => {
    const environment = new MockActivityEnvironment();
    const { running, claim } = await runUnder(environment);
    environment.cancel(reason, new ActivityCancellationDetails(details));
    await expect(running).rejects.toThrow(reason);
    expect(await isAlive(claim)).toBe(true);
    expect((await readJobState(dir)).kind).toBe('running');
  });

  test('that somebody asked for ends the job with all its children, also those that ignore TERM', async () => {
    const environment = new MockActivityEnvironment();
    const script = `sh -c 'trap "" TERM; while :; do sleep 0.1; done' & sleep 300 & wait`;
    const running = environment.run<[], JobResult, () => Promise<JobResult>>(() => jobs.run(shell(script)));
    running.catch(() => undefined);
    const { command, wrapper } = await runningClaim();
    await until(async () => (await livingMembers(wrapper.pid)).length >= 4);
    environment.cancel('CANCELLED');
    await expect(running).rejects.toThrow('CANCELLED');
    expect(await isAlive(command)).toBe(false);
    expect(await livingMembers(wrapper.pid)).toEqual([]);
  }, 30_000);

  test('heartbeats tell the progress that the job wrote', async () => {
    const environment = new MockActivityEnvironment();
    const beats: unknown[] = [];
    environment.on('heartbeat', (details: unknown) => beats.push(details));
    const script = `echo '{"done":5,"total":10,"unit":"bytes","note":"base"}' > $PGR_JOB_DIR/progress; sleep 1.3`;
    await environment.run<[], JobResult, () => Promise<JobResult>>(() => jobs.run(shell(script)));
    expect(beats.at(-1)).toMatchObject({
      done: 5,
      total: 10,
      unit: 'bytes',
      note: 'base',
      ratePerSecond: 0,
      etaSeconds: null,
    });
  });
});

describe('a job that must succeed', () => {
  test('passes the failure that one of our programs left in result.json, and runs again on the next call', async () => {
    const script = `[ -f ${stateDir}/mended ] && exit 0
      echo '{"failure":{"type":"BackupCorrupt","message":"chunk 7 of base-1 is damaged","hint":"take a base"}}' > $PGR_JOB_DIR/result.json; exit 1`;
    await expect(runJobOrFail(jobs, shell(script))).rejects.toMatchObject({
      type: 'BackupCorrupt',
      message: 'chunk 7 of base-1 is damaged',
      nonRetryable: true,
      details: [{ hint: 'take a base', next: [] }],
    });
    await writeFile(path.join(stateDir, 'mended'), '');
    expect((await runJobOrFail(jobs, shell(script))).exitCode).toBe(0);
  });

  test('returns while the job goes on when `until` came true', async () => {
    const result = await runJobOrFail(jobs, shell('sleep 60'), { until: () => Promise.resolve(true) });
    expect(result.running).toBe(true);
    expect((await readJobState(dir)).kind).toBe('running');
  });
});

const asRoot = process.getuid?.() === 0 ? test : test.skip;

asRoot('a job of another user writes its own directory and runs as that user', async () => {
  const nobody = Number(spawnSync('id', ['-u', 'nobody']).stdout.toString());
  await rm(stateDir, { recursive: true });
  const result = await jobs.run(shell('id -u; touch $PGR_JOB_DIR/mine', { runAs: { uid: nobody, gid: nobody } }));
  expect(result.logTail).toEqual([String(nobody)]);
  expect((await stat(dir)).uid).toBe(nobody);
  expect(await readdir(dir)).toContain('mine');
});
