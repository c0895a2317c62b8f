/** Scenario: people read the plan of a flip or rebuild before they approve. Verified: what will happen, what it costs, what is at risk, in words. */
import { runDetails } from '../../shared/run-state-details.js';
import {
  flipPlanView,
  prunePlanView,
  rebuildEvidence,
  rebuildPlanView,
  undoRebuildPlanView,
} from '../../shared/run-state-change.js';
import { flipFollowUps, flipNotes, changeLostLines } from '../../cli/render/report-change.js';
import { wrap, formatMilliseconds } from '../../cli/render/text.js';
import type { FlipPlan, FlipResult, FlipRunResult } from '../../shared/contracts/flip.js';
import type { Lsn } from '../../shared/lsn.js';
import { runView } from '../support/cli-harness.js';
import { flipPlan, rebuildPlan, safetyCopy, topology } from '../support/flip-fixtures.js';

const hosts = { primary: 'h1', standby: 'h2' };
const asked = {
  environment: 'shop',
  to: null,
  mode: 'stop',
  topology: topology('shop', hosts),
  hostChecks: [],
} as const;
const planned = (more: Partial<FlipPlan> = {}, failover = false): FlipPlan =>
  flipPlan({ ...asked, hostChecks: [], failover }, hosts, more);

test('a planned flip: from where to where, outage, lag, routers and poolers, and what becomes of the old primary', () => {
  expect(flipPlanView(planned()).summary).toEqual([
    'writes of shop move from dallas to chicago',
    'expected outage of writes: 150 ms',
    'mode stop: dallas ends in order and proves that chicago has all of it',
    'lag of chicago: 0 B; timeline 1',
    'write address: haproxy lb1, lb2',
    'clients wait in pool1 meanwhile and see no error',
    'dallas comes back as a standby: restarted, else rewound, else a rebuild is proposed',
  ]);
});

test('without a pooler, with logical slots and other standbys, the plan says so', () => {
  const more = {
    poolers: [],
    lagBytes: null,
    expectedOutageMs: 1_250,
    logicalSlots: [{ name: 'cdc', becomes: 'lost' as const, why: 'it is not a failover slot' }],
    others: [{ ...planned().to, name: 'berlin', host: 'h3' }],
    warnings: ['a transaction is open for 900 s'],
  };
  const text = flipPlanView(planned(more)).summary.join('\n');
  expect(text).toContain('expected outage of writes: 1.3 s');
  expect(text).toContain('lag of chicago: unknown');
  expect(text).toContain('no pooler: clients lose their connection once');
  expect(text).toContain('logical slot cdc is lost: it is not a failover slot');
  expect(text).toContain('standby berlin on h3 has to follow chicago');
  expect(text).toContain('warning: a transaction is open for 900 s');
});

test('a failover says what may be lost, also when nothing is known', () => {
  const text = flipPlanView(planned({}, true)).summary.join('\n');
  expect(text).toContain('FAILOVER of shop: chicago becomes the primary, dallas is taken for dead');
  expect(text).toContain('at risk: 256 B of WAL that dallas may have acknowledged and chicago does not have');
  expect(text).toContain('chicago received up to 0/5B000000; dallas was last seen at 0/5B000100, 12 s ago');
  const unknown = { lastReceivedLsn: null, lastKnownPrimaryLsn: null, bytes: null, ageSeconds: null };
  const blind = flipPlanView(planned({ atRisk: unknown }, true)).summary.join('\n');
  expect(blind).toContain('at risk: unknown of WAL');
  expect(blind).toContain('received up to unknown; dallas was last seen at unknown, at an unknown time');
});

test('a rebuild: method and why, bytes, rate, safety copy, how to get the node back', () => {
  const input = { environment: 'shop', node: 'chicago', run: 'shop/change', runId: 'run-1', method: 'auto' as const };
  const plan = rebuildPlan({ ...input, rateLimitKbPerSecond: 50_000 }, hosts);
  expect(rebuildPlanView(plan).summary).toEqual([
    'rebuild chicago on h2 from dallas on h1, /srv/chicago/data',
    'method basebackup: pg_rewind: could not find common ancestor of the source and target timelines',
    'copies 2.0 GB in about 12 s, no faster than 50 MB/s',
    'safety copy first (directory): /srv/chicago/data.kept-run-1',
    'space: 2.0 GB needed of 9.0 GB available at /srv/chicago',
    'an abort puts the old data of chicago back, and so does `pgr undo` afterwards',
  ]);
  expect(rebuildEvidence(plan).at(-1)).toMatchObject({ check: 'safety copy', actual: '/srv/chicago/data.kept-run-1' });
});

test('an undo of a rebuild and a prune name the copies', () => {
  const copy = safetyCopy('shop', 'h2', 'run-1');
  const facts = { node: 'chicago', host: 'h2', dataDir: '/d', starts: false, ofRun: 'shop/change', hash: 'h' };
  expect(undoRebuildPlanView({ ...facts, copy }).summary.at(-1)).toBe('it stays stopped, as it was before the rebuild');
  const unanswered = [{ node: 'dallas', host: 'h1', why: 'HostUnreachable' }];
  expect(prunePlanView({ remove: [copy], keep: [], unanswered, hash: 'h' }).summary).toEqual([
    'remove /srv/chicago/data.kept-run-1 of chicago, 2026-11-20T03:42:00.000Z, 2.0 GB, by shop/change',
    'warning: copies of dallas on h1 are not known: HostUnreachable',
  ]);
});

test('the page in the Web UI shows what a person states above how to say it', () => {
  const gate = {
    name: 'fence',
    code: 'K7QF2M',
    required: 1,
    openedAt: '2026-11-21T03:44:00.000Z',
    expiresAt: '2026-11-22T03:44:00.000Z',
    expired: false,
    decisions: [],
    evidence: [],
    statement: 'dallas is off <b>',
  };
  const page = runDetails(runView({ status: 'waiting-approval', gate }), 'Flip');
  expect(page).toContain('Whoever approves states: **dallas is off &#60;b&#62;**');
  expect(page.indexOf('states')).toBeLessThan(page.indexOf('pgr approve'));
});

test('lines are broken at words, and a path that is too long stays whole', () => {
  expect(wrap('aa bb cc', 5, '  ')).toEqual(['aa bb', '  cc']);
  expect(wrap('aa /a/very/long/path bb', 6, ' ')).toEqual(['aa', ' /a/very/long/path', ' bb']);
  expect(wrap('short', 80, '  ')).toEqual(['short']);
  expect([formatMilliseconds(0.4), formatMilliseconds(145), formatMilliseconds(2_400)]).toEqual([
    '0 ms',
    '145 ms',
    '2.4 s',
  ]);
});

const flip: FlipResult = {
  outcome: 'flipped',
  timeline: 2,
  switchLsn: '0/5B0000D8' as Lsn,
  shutdownLsn: null,
  writeOutageMs: 120,
  phases: [],
  notes: ['2 sessions were ended'],
  lost: null,
};
const result = (more: Partial<FlipRunResult> = {}): FlipRunResult => ({
  outcome: 'flipped',
  run: 'shop/change',
  runId: 'r',
  environment: 'shop',
  plan: planned({}, true),
  flip,
  rejoin: null,
  measured: { writeOutageMs: 120, rtoSeconds: 3 },
  ...more,
});

test('the report of a failover lists the commits that were lost, or says that it does not know', () => {
  expect(changeLostLines(result())?.join('\n')).toContain('Not known: dallas could not be asked');
  const commits = [{ xid: '760', lsn: '0/5AFFFF00' as Lsn, time: '2026-11-21T03:43:59.000000Z' }];
  const rejoin = { outcome: 'needs-rebuild' as const, why: 'no WAL', lost: { commits, exact: false } };
  const lines = changeLostLines(result({ rejoin }))?.join('\n') ?? '';
  expect(lines).toContain('at least 1 commits of dallas that chicago does not have');
  expect(lines).toContain('`760` at 2026');
  expect(changeLostLines({ outcome: 'promoted' })).toBeNull();
});

test('the report of a flip says what is left to do', () => {
  expect(flipNotes(result()).join('\n')).toContain('2 sessions were ended');
  const todo = flipFollowUps(result()).join('\n');
  expect(todo).toContain('cannot start as a primary by itself');
  expect(todo).toContain('`pgr rebuild-standby shop dallas`');
  const lost = { commits: [], exact: true };
  const rejoin = { outcome: 'rejoined' as const, method: 'restart' as const, timeline: 2, seconds: 1, lost };
  expect(flipFollowUps(result({ plan: planned(), rejoin })).join('\n')).toContain('`pgr flip-db shop --to dallas`');
});
