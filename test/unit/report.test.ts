import { renderReport } from '../../cli/render/report.js';
import { viewFromRecord } from '../../cli/record-view.js';
import type { RecordEntry, RecordEntryBody } from '../../shared/contracts/record.js';
import { EMPTY_HEAD, linkEntry } from '../../shared/record-chain.js';
import { fakeTemporal, pgr, RUN, RUN_ID } from '../support/cli-harness.js';

const CHANGE_ID = '0199cccc-0000-7000-8000-000000000000';
const kept = { xid: '7001', lsn: '0/5A0001C8', time: '2026-11-21T03:41:59.900000Z' };
const dropped = { xid: '7002', lsn: '0/5A000300', time: '2026-11-21T03:42:00.100000Z' };
const lost = { commits: 12, exact: true, seconds: 61, until: '2026-11-21T03:43:01.000000Z' };

const plan = {
  environment: 'lab',
  target: { kind: 'time', value: '2026-11-21T03:42:00.000000Z' },
  timeline: 1,
  stop: { kind: 'lsn', lsn: '0/5A0001C8', inclusive: true },
  boundary: { kept, dropped },
  lost,
  baseChain: [
    {
      id: 'base-1',
      kind: 'full',
      startedAt: 'a',
      endedAt: '2026-11-21T00:00:00Z',
      startLsn: '0/1',
      stopLsn: '0/2',
      timeline: 1,
      parentId: null,
      bytes: 1,
      rawBytes: 2,
    },
  ],
  fetch: { baseBytes: 1, walBytes: 2, walSegments: 3, firstSegment: 'f', lastSegment: 'l' },
  replayBytes: 4,
  space: { path: '/data', needBytes: 5, availableBytes: 6 },
  estimate: { restoreSeconds: 1, replaySeconds: 1, totalSeconds: 2 },
  systemIdentifier: '7',
  postgresMajor: 18,
  walSegmentBytes: 16_777_216,
  minimumSettings: {},
  host: 'dallas',
  warnings: ['the clock of dallas is off'],
  hash: 'f'.repeat(64),
};
const evidence = [
  { check: 'target reached', expected: '0/5A0001C8', actual: '0/5A0001C8', ok: true },
  { check: 'first dropped', expected: 'not committed', actual: 'not committed', ok: true, note: 'pg_xact_status' },
];
const recovery = (outcome: 'kept' | 'promoted') => ({
  outcome,
  ref: { environment: 'lab', run: RUN, runId: RUN_ID, sandbox: RUN_ID, host: 'dallas' },
  plan,
  sandbox: {
    dir: '/s',
    dataDir: '/s/data',
    port: 15400,
    url: 'postgresql://127.0.0.1:15400/shop',
    expiresAt: '2026-11-22T03:45:00Z',
  },
  evidence,
  counts: [
    { table: 'public.orders', sandbox: 5000, production: 0 },
    { table: 'public.customers', sandbox: 100, production: null },
  ],
  measured: { restoreSeconds: 41, replaySeconds: 12, rtoSeconds: 62, rpoSeconds: 61 },
  promotion: outcome === 'promoted' ? { run: 'lab/change', runId: CHANGE_ID } : null,
});
const node = {
  name: 'dallas',
  host: 'dallas',
  dataDir: '/d',
  keptDataDir: '/d.kept-0199cccc',
  state: 'running',
  role: 'primary',
  systemIdentifier: '7',
  timeline: 1,
};
const promotion = {
  outcome: 'promoted',
  run: 'lab/change',
  runId: CHANGE_ID,
  environment: 'lab',
  plan: {
    environment: 'lab',
    ref: recovery('kept').ref,
    primary: node,
    standbys: [],
    sandboxDataDir: '/s/data',
    lostUntil: lost.until,
    lostSeconds: 61,
    apps: ['web'],
    backups: 'none',
    warnings: [],
    hash: 'e'.repeat(64),
  },
  recovery: plan,
  timeline: 2,
  rebuilt: ['chicago'],
  measured: { writeOutageMs: 8200, rtoSeconds: 120, rpoSeconds: 61 },
  lost,
};

function chain(bodies: RecordEntryBody[], run = RUN, runId = RUN_ID, minute = 42): RecordEntry[] {
  const entries: RecordEntry[] = [];
  bodies.forEach((body, index) => {
    const at = `2026-11-21T03:${String(minute)}:${String(index).padStart(2, '0')}.000Z`;
    entries.push(linkEntry(entries.at(-1) ?? EMPTY_HEAD, { run, runId, at, body }));
  });
  return entries;
}

const decision = (by: string, counted: boolean, why: string | null): RecordEntryBody => ({
  kind: 'decision',
  gate: 'promote',
  decision: 'approve',
  by,
  identity: 'declared',
  entry: 'signal',
  comment: 'go',
  code: 'K7QF2M',
  counted,
  why,
});
const started: RecordEntryBody = {
  kind: 'run-started',
  runbook: 'pitr',
  environment: 'lab',
  requestedBy: 'ana',
  reason: 'orders were <b>deleted</b> | all',
  input: {},
};
const steps: RecordEntryBody[] = [
  { kind: 'step-started', step: 'check-target', title: 'Check the target', attempt: 1 },
  { kind: 'step-done', step: 'check-target', result: {}, seconds: 2 },
  { kind: 'plan', plan, hash: plan.hash },
  { kind: 'step-started', step: 'restore-base', title: 'Fetch', attempt: 1 },
  {
    kind: 'step-failed',
    step: 'restore-base',
    code: 'StoreUnavailable',
    message: 's3 is down',
    details: { hint: 'wait', next: [] },
  },
  { kind: 'command', command: 'retry', by: 'bo', reason: 'it is back' },
  { kind: 'step-started', step: 'restore-base', title: 'Fetch', attempt: 2 },
  { kind: 'step-done', step: 'restore-base', result: {}, seconds: 41 },
];
const gate: RecordEntryBody[] = [
  { kind: 'gate-opened', gate: 'promote', code: 'K7QF2M', evidence, expiresAt: '2026-11-22T03:44:00Z' },
  decision('mallory', false, 'wrong code'),
  decision('bo', true, null),
  { kind: 'gate-closed', gate: 'promote', outcome: 'approved' },
];
const keptRecord = chain([started, ...steps, { kind: 'result', status: 'completed', result: recovery('kept') }]);
const promotedRecord = chain([
  started,
  ...steps,
  ...gate,
  { kind: 'result', status: 'completed', result: recovery('promoted') },
]);
const changeRecord = chain(
  [
    { ...started, runbook: 'promote' },
    { kind: 'step-started', step: 'keep-old-data', title: 'Keep', attempt: 1 },
    {
      kind: 'step-done',
      step: 'keep-old-data',
      result: { outcome: 'kept', keptDataDir: '/d.kept-0199cccc' },
      seconds: 1,
    },
    {
      kind: 'step-done',
      step: 'rebuild-standby',
      result: { chicago: { keptDataDir: '/c.kept-0199cccc' } },
      seconds: 9,
    },
    { kind: 'result', status: 'completed', result: promotion },
  ],
  'lab/change',
  CHANGE_ID,
  50,
);

describe('the report of a promoted recovery', () => {
  const text = renderReport(promotedRecord, changeRecord);
  const section = (title: string): string => text.split(/^## /m).find((part) => part.startsWith(title)) ?? '';

  test('says what, to when, and how it ended', () => {
    expect(text.split('\n')[0]).toMatch(/^# pitr of lab to 2026.*: completed$/);
  });
  test('measures RTO and RPO, and the outage of writes', () => {
    expect(section('Summary')).toMatch(/RTO \| 2 min /);
    expect(section('Summary')).toMatch(/RPO \| 1 min 1 s/);
    expect(section('Summary')).toContain('writes were down 8.2 s');
  });
  test('says what was lost, with the boundary', () => {
    expect(section('What was lost')).toContain('Production gave up 12 commits in 1 min 1 s');
    expect(section('What was lost')).toContain('`7001`');
    expect(section('What was lost')).toContain('`7002`');
  });
  test('tells both runs in one timeline, in order of time, in UTC', () => {
    const times = [...section('Timeline').matchAll(/^\| (2026\S+) /gm)].map(([, time]) => time ?? '');
    expect(times.length).toBe(promotedRecord.length + changeRecord.length);
    expect(times).toEqual([...times].sort());
    expect(section('Timeline')).toContain('StoreUnavailable: s3 is down');
  });
  test('shows approvals, the refused ones too, with the reason', () => {
    expect(section('Approvals')).toMatch(/mallory \| declared, by signal \| refused: wrong code/);
    expect(section('Approvals')).toMatch(/bo \| declared, by signal \| counted/);
  });
  test('shows evidence and row counts; an unknown count is not a zero', () => {
    expect(section('Evidence')).toContain('| ok | first dropped | not committed | not committed (pg_xact_status) |');
    expect(section('Rows')).toMatch(/public.orders \| 5000 \| 0 \| 5000/);
    expect(section('Rows')).toMatch(/public.customers \| 100 \| unknown \| unknown/);
  });
  test('names every safety copy', () => {
    expect(section('Safety copies')).toContain('/d.kept-0199cccc');
    expect(section('Safety copies')).toContain('/c.kept-0199cccc');
  });
  test('lists what to do after any real restore', () => {
    for (const words of [
      'smoke queries',
      'Reconcile',
      'Rotate webhook secrets',
      'End sessions',
      'Tell users',
      `pgr undo ${RUN}`,
    ])
      expect(section('What to do next')).toContain(words);
  });
  test('names both records so that they can be verified', () => {
    expect(section('The record')).toContain(`pgr audit verify ${RUN}@0199aaaa`);
    expect(section('The record')).toContain('pgr audit verify lab/change@0199cccc');
  });
  test('text from outside can neither break a table nor become HTML', () => {
    expect(text).not.toContain('<b>');
    expect(text).toContain('\\| all');
  });
});

test('the raw text is readable: no escapes where nothing could go wrong', () => {
  const text = renderReport(promotedRecord, changeRecord);
  expect(text).toContain('# pitr of lab to 2026-11-21T03:42:00.000000Z: completed');
  expect(text.match(/\\\\[-(_]/g)).toBeNull();
});

describe('the report of a kept sandbox', () => {
  const text = renderReport(keptRecord, null);
  test('says that production was not replaced, and what a promotion would give up', () => {
    expect(text).toContain('Nothing: production was not replaced. A promotion would give up 12 commits');
  });
  test('offers the two ways on', () => {
    expect(text).toContain(`pgr promote lab --from ${RUN}`);
    expect(text).toContain(`pgr discard ${RUN}`);
    expect(text).not.toContain('Rotate webhook');
  });
  test('says that nobody was asked', () => {
    expect(text).toContain('Nobody was asked.');
  });
});

test('a run that still goes on, and one that failed, have a report too', () => {
  expect(renderReport(promotedRecord.slice(0, 3), null)).toContain('not yet');
  const failed = chain([started, ...steps.slice(0, 5), { kind: 'result', status: 'failed', result: null }]);
  expect(renderReport(failed, null)).toMatch(/: failed\n/);
  expect(renderReport(failed, null)).toContain('restore-base: s3 is down');
  expect(renderReport([], null)).toContain('pgr audit verify');
});

test('a record gives the same view as the run had: steps, attempts, plan, decisions', () => {
  const view = viewFromRecord(promotedRecord);
  expect(view).toMatchObject({
    run: RUN,
    status: 'completed',
    child: 'lab/change',
    failure: null,
    plan: { hash: plan.hash, boundary: { kept, dropped } },
  });
  expect(view?.steps.find(({ id }) => id === 'restore-base')).toMatchObject({ status: 'done', attempts: 2 });
  expect(view?.steps.find(({ id }) => id === 'combine-incrementals')).toMatchObject({ status: 'pending' });
  expect(view?.decisions).toHaveLength(2);
});

describe('through the command line', () => {
  const fake = () => fakeTemporal({ records: [promotedRecord, changeRecord] });

  test('pgr report finds the record when Temporal has forgotten the run, and that of its promotion', async () => {
    const { out, code } = await pgr(['report', RUN], { fake: fake() });
    expect(code).toBe(0);
    expect(out).toBe(renderReport(promotedRecord, changeRecord));
    expect((await pgr(['report', RUN, '--json'], { fake: fake() })).json()).toMatchObject({
      api: 1,
      run: RUN,
      markdown: out,
    });
  });
  test('pgr show reads the record when Temporal has forgotten the run', async () => {
    const json = (await pgr(['show', RUN, '--json'], { fake: fake() })).json();
    expect(json).toMatchObject({ api: 1, run: RUN, status: 'completed', sandbox: { port: 15400, state: 'promoted' } });
  });
  test('pgr audit show and export; an export verifies offline, an edited or cut one does not', async () => {
    const { out } = await pgr(['audit', 'show', RUN], { fake: fake() });
    expect(out).toContain('refused: wrong code');
    const exported = await pgr(['audit', 'export', RUN], { fake: fake() });
    const document = exported.json() as { entries: RecordEntry[]; head: unknown };
    expect(document).toMatchObject({ api: 1, run: RUN, head: { seq: promotedRecord.length } });
    expect(await verifyFile(document)).toMatchObject({ code: 0 });
    const edited = structuredClone(document);
    (edited.entries[0]!.body as { reason: string }).reason = 'maintenance';
    expect(await verifyFile(edited)).toMatchObject({
      code: 5,
      out: expect.stringMatching(/entry 1: was edited/) as string,
    });
    const cut = { ...document, entries: document.entries.slice(0, -1) };
    expect(await verifyFile(cut)).toMatchObject({ code: 5, out: expect.stringContaining('cut') as string });
    const reordered = { ...document, entries: [...document.entries].reverse() };
    expect(await verifyFile(reordered)).toMatchObject({ code: 5 });
  });
  test('audit verify says when a run is over and no result closes its record', async () => {
    const temporal = fake();
    temporal.outcomes['lab/change'] = { state: 'open' };
    expect((await pgr(['audit', 'verify'], { fake: temporal })).code).toBe(0);
  });
  test('audit list', async () => {
    const { out } = await pgr(['audit', 'list', 'lab'], { fake: fake() });
    expect(out).toMatch(/lab\/change +0199cccc-0000 +promote +completed/);
  });
});

async function verifyFile(document: object): Promise<{ code: number; out: string }> {
  const { mkdtemp, rm, writeFile } = await import('node:fs/promises');
  const dir = await mkdtemp('/tmp/pgr-export-');
  try {
    await writeFile(`${dir}/run.json`, JSON.stringify(document));
    const { code, out } = await pgr(['audit', 'verify', '--file', `${dir}/run.json`], { config: null });
    return { code, out };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
