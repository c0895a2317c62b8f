/** The real command line in this process, against a Temporal that a test plays. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { runCli } from '../../cli/run-cli.js';
import type { ListedRun, PendingActivity, RunClient, RunOutcome, StartRequest } from '../../cli/run-client.js';
import type { RecordEntry, RecordSummary } from '../../shared/contracts/record.js';
import type { RunView } from '../../shared/contracts/status.js';
import { PITR } from '../../shared/runbooks/pitr.js';

const NOW = new Date('2026-11-21T03:45:00.000Z');
export const RUN = 'lab/pitr/20261121-034200';
export const RUN_ID = '0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee';

export const CONFIG = `
version: 1
temporal: { address: 127.0.0.1:1, namespace: test, ui: http://127.0.0.1:8233 }
stateDir: /tmp/pgr-state
record: { kind: directory, path: /tmp/pgr-records }
environments:
  lab:
    postgres: {}
    nodes:
      - name: dallas
        host: dallas
        address: 127.0.0.1
        port: 5432
        dataDir: /tmp/dallas
        binDir: /usr/bin
        runtime: { kind: process }
    routing: { kind: multihost, url: 'postgresql://127.0.0.1:5432/shop?target_session_attrs=read-write' }
    backups: { kind: s3, bucket: b, accessKeyId: 'env:A', secretAccessKey: 'env:B' }
`;

/** A run of pitr; every step pending unless said otherwise. */
export function runView(change: Partial<RunView> = {}): RunView {
  return {
    run: RUN,
    runId: RUN_ID,
    environment: 'lab',
    runbook: 'pitr',
    requestedBy: 'ana',
    reason: 'orders were deleted',
    status: 'running',
    startedAt: '2026-11-21T03:42:00.000Z',
    endedAt: null,
    steps: PITR.steps.map(({ id, title }) => ({
      id,
      title,
      status: 'pending',
      startedAt: null,
      endedAt: null,
      attempts: 0,
    })),
    plan: null,
    gate: null,
    decisions: [],
    sandbox: null,
    measured: {},
    failure: null,
    child: null,
    ...change,
  };
}

/** The same, waiting at gate promote. */
export function waitingView(change: Partial<RunView> = {}): RunView {
  return runView({
    status: 'waiting-approval',
    gate: {
      name: 'promote',
      code: 'K7QF2M',
      required: 1,
      openedAt: '2026-11-21T03:44:00.000Z',
      expiresAt: '2026-11-22T03:44:00.000Z',
      expired: false,
      decisions: [],
      evidence: [
        { check: 'target-reached', expected: '0/5A0001C8', actual: '0/5A0001C8', ok: true },
        { check: 'first-dropped', expected: 'not committed', actual: 'committed', ok: false },
      ],
    },
    ...change,
  });
}

export type FakeTemporal = {
  started: StartRequest[];
  updates: { run: string; runId?: string; update: string; input: unknown }[];
  /** One after the other, the last one for ever. */
  views: Record<string, (RunView | null | Error)[]>;
  outcomes: Record<string, RunOutcome>;
  listed: ListedRun[];
  pending: PendingActivity[];
  records: RecordEntry[][];
  workers: string[] | 'all';
  answers: {
    update?: unknown;
    window?: unknown;
    check?: unknown;
    topology?: unknown;
    notifyTest?: unknown;
    start?: Error;
  };
  closed: boolean;
};

export function fakeTemporal(change: Partial<FakeTemporal> = {}): FakeTemporal {
  return {
    started: [],
    updates: [],
    views: {},
    outcomes: {},
    listed: [],
    pending: [],
    records: [],
    workers: 'all',
    answers: {},
    closed: false,
    ...change,
  };
}

function clientOf(fake: FakeTemporal): RunClient {
  return {
    start: (request) => {
      if (fake.answers.start !== undefined) return Promise.reject(fake.answers.start);
      fake.started.push(request);
      return Promise.resolve({ run: request.id, runId: RUN_ID });
    },
    execute: (request) => Promise.resolve(execute(fake, request)),
    find: (text) => Promise.resolve(find(fake, text)),
    list: () => Promise.resolve(fake.listed),
    status: (run) => {
      const queue = fake.views[run] ?? [];
      const next = queue.length > 1 ? queue.shift() : queue[0];
      return next instanceof Error ? Promise.reject(next) : Promise.resolve(next ?? null);
    },
    pending: () => Promise.resolve(fake.pending),
    update: (request) => {
      fake.updates.push(request);
      const { update } = fake.answers;
      return update instanceof Error ? Promise.reject(update) : Promise.resolve(update);
    },
    outcome: (run) => Promise.resolve(fake.outcomes[run] ?? null),
    hasWorker: (queue) => Promise.resolve(fake.workers === 'all' || fake.workers.includes(queue)),
    uiLink: (run, runId) => `http://127.0.0.1:8233/namespaces/test/workflows/${encodeURIComponent(run)}/${runId}`,
    close: () => {
      fake.closed = true;
      return Promise.resolve();
    },
  };
}

function find(fake: FakeTemporal, text: string): ListedRun[] {
  const [id = ''] = text.split('@');
  const exact = fake.listed.filter(({ run }) => run === id);
  if (exact.length > 0) return exact.slice(0, 1);
  if (fake.views[id] !== undefined) return [listedRun({ run: id })];
  return fake.listed.filter(({ run }) => run.startsWith(id));
}

export function listedRun(change: Partial<ListedRun> = {}): ListedRun {
  return {
    run: RUN,
    runId: RUN_ID,
    runbook: 'pitr',
    environment: 'lab',
    status: 'running',
    step: null,
    target: null,
    requestedBy: 'ana',
    reason: null,
    startedAt: '2026-11-21T03:42:00.000Z',
    endedAt: null,
    open: true,
    ...change,
  };
}

function execute(fake: FakeTemporal, request: StartRequest): unknown {
  const { workflow, input } = request;
  if (workflow === 'window') return fake.answers.window;
  if (workflow === 'check') return fake.answers.check;
  if (workflow === 'topology') return fake.answers.topology;
  if (workflow === 'notifyTest') {
    fake.started.push(request);
    return fake.answers.notifyTest;
  }
  const { action, run } = input as { action: string; run?: string };
  if (action === 'list') return { action, records: fake.records.map(summaryOf) };
  if (action === 'verify')
    return { action, report: { records: fake.records.length, entries: 0, problems: [], unfinished: [] } };
  const entries = fake.records.find(([first]) => run?.split('@')[0] === first?.run);
  return { action, record: entries === undefined ? { outcome: 'none' } : { outcome: 'found', entries } };
}

function summaryOf(entries: RecordEntry[]): RecordSummary {
  const [first] = entries;
  const last = entries.at(-1);
  if (first?.body.kind !== 'run-started' || last === undefined) throw new Error('not a record');
  const { environment, runbook, requestedBy, reason } = first.body;
  const status = last.body.kind === 'result' ? last.body.status : null;
  return {
    run: first.run,
    runId: first.runId,
    environment,
    runbook,
    requestedBy,
    reason,
    startedAt: first.at,
    endedAt: status === null ? null : last.at,
    status,
    entries: entries.length,
  };
}

export type CliResult = { code: number; out: string; err: string; json: () => Record<string, unknown> };

export type CliOptions = {
  fake?: FakeTemporal;
  env?: Record<string, string>;
  isTty?: boolean;
  columns?: number;
  interrupted?: AbortSignal;
  /** Text of recovery.yaml, null for none at all. */
  config?: string | null;
};

/** Runs `pgr` with these arguments in an empty directory. Sleeping moves the clock and takes no time. */
export async function pgr(args: string[], options: CliOptions = {}): Promise<CliResult> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'pgr-cli-'));
  const config = options.config === undefined ? CONFIG : options.config;
  if (config !== null) await writeFile(path.join(dir, 'recovery.yaml'), config);
  let out = '';
  let err = '';
  let now = NOW.getTime();
  try {
    const code = await runCli(args, {
      io: {
        out: (text) => (out += text),
        err: (text) => (err += text),
        isTty: options.isTty ?? false,
        columns: options.columns ?? 80,
        color: false,
      },
      env: { HOME: dir, PGR_USER: 'tester', LANG: 'C.UTF-8', ...options.env },
      cwd: dir,
      version: '1.2.3',
      now: () => new Date(now),
      interrupted: options.interrupted ?? new AbortController().signal,
      sleep: (milliseconds) => {
        now += milliseconds;
        return Promise.resolve();
      },
      connect: () => Promise.resolve(clientOf(options.fake ?? fakeTemporal())),
    });
    return { code, out, err, json: () => JSON.parse(out) as Record<string, unknown> };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
