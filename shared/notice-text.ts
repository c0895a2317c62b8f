/**
 * The words of notices. Pure, and made of the named facts of a notice only: what a server, a tool or a table said never gets here, because a
 * message leaves the house.
 */
import type { Notice, NoticeEvidence, NoticePlan, NoticeSubject } from './contracts/notices.js';
import type { TransactionPoint } from './contracts/plan.js';
import { FAILURES, isFailureType } from './failures.js';
import { formatMilliseconds } from './run-state-change.js';
import { formatSeconds } from './run-state-plan.js';

/** `page`: somebody has to look now; `notice`: people want to know; `good`: what was wrong is over. */
type Urgency = 'page' | 'warning' | 'notice' | 'good';

export type NoticeText = {
  /** One line. */
  title: string;
  /** Facts, one a line. */
  lines: string[];
  /** Commands to copy, the first is the one to run. */
  commands: string[];
  urgency: Urgency;
};

/** Checks that a message names; the page of the run has all. */
const MAX_CHECKS = 12;
/** Text that a person typed is cut to this. */
const MAX_TYPED = 300;

/** What a notice says. */
export function noticeText(subject: NoticeSubject, notice: Notice): NoticeText {
  const { environment, run } = subject;
  const what = `${subject.runbook} of ${environment}`;
  const show = `pgr show ${run}`;
  switch (notice.event) {
    case 'test':
      return said(
        'notice',
        `test message of pgr for ${environment}`,
        [`asked by ${typed(subject.requestedBy)}; nothing happened, and there is nothing to do`],
        [],
      );
    case 'run-started':
      return said('notice', `${what} started`, [...askedBy(subject), ...targetLine(subject)], [`pgr watch ${run}`]);
    case 'gate-opened':
      return gateOpened(subject, notice);
    case 'gate-reminder':
      return said(
        'warning',
        `${what} has been waiting for approval at gate ${notice.gate} for ${formatSeconds(notice.waitedSeconds)}`,
        [],
        [approve(run, notice.gate, notice.code), reject(run, notice.gate, notice.code), show],
      );
    case 'gate-expired':
      return said(
        'warning',
        `${what}: nobody decided at gate ${notice.gate} in time`,
        ['nothing was changed; a retry opens the gate again with a new code'],
        [`pgr retry ${run}`, show],
      );
    case 'gate-closed':
      return said('notice', `${what}: gate ${notice.gate} was ${notice.outcome}`, byLine(notice.by), []);
    default:
      return attentionText(subject, notice) ?? outageText(subject, notice) ?? endText(subject, notice);
  }
}

type Opened = Extract<Notice, { event: 'gate-opened' }>;

function gateOpened(subject: NoticeSubject, notice: Opened): NoticeText {
  const { run, runbook, environment } = subject;
  const { gate, code, required } = notice;
  const statement = notice.statement === undefined ? [] : [`whoever approves states: ${typed(notice.statement)}`];
  return said(
    'warning',
    `${runbook} of ${environment} waits for ${String(required)} approval${required === 1 ? '' : 's'} at gate ${gate}, code ${code}`,
    [
      ...askedBy(subject),
      ...statement,
      ...(notice.plan === null ? [] : planLines(notice.plan)),
      ...evidenceLines(notice.evidence),
      `closes ${shortTime(notice.expiresAt)}`,
    ],
    [`pgr show ${run}`, approve(run, gate, code), reject(run, gate, code)],
  );
}

function attentionText({ runbook, environment, run }: NoticeSubject, notice: Notice): NoticeText | null {
  const what = `${runbook} of ${environment}`;
  if (notice.event === 'needs-attention') {
    const { step, code, choices } = notice;
    const hint = isFailureType(code) ? [`in general: ${FAILURES[code].hint}`] : [];
    const commands = choices.map((choice) => `pgr ${choice} ${run}${choice === 'retry' ? '' : ' --reason "WHY"'}`);
    return said(
      'page',
      `${what} needs attention: step ${step} failed with ${code}`,
      [`the step: ${notice.title}`, ...hint, 'what exactly failed: see the run'],
      [`pgr show ${run}`, ...commands],
    );
  }
  if (notice.event === 'attention-over') {
    return said('good', `${what} goes on: ${notice.choice} at step ${notice.step}`, [], []);
  }
  return null;
}

function outageText(subject: NoticeSubject, notice: Notice): NoticeText | null {
  const { environment, run } = subject;
  if (notice.event === 'production-down') {
    return said('page', `${environment} is down: nobody can write`, [`why: ${notice.why}`], [`pgr watch ${run}`]);
  }
  if (notice.event === 'still-down') {
    return said(
      'page',
      `${environment} has been down for ${formatSeconds(notice.seconds)}`,
      [`since ${shortTime(notice.since)}`, `step ${notice.position}: ${notice.title} (${notice.step})`],
      [`pgr watch ${run}`],
    );
  }
  if (notice.event !== 'service-restored') return null;
  const outage =
    notice.writeOutageMs === null ? [] : [`nobody could write for ${formatMilliseconds(notice.writeOutageMs)}`];
  const node = notice.node === undefined ? [] : [`writes go to ${notice.node}`];
  return said('good', `${environment} ${RESTORED[notice.how]}`, [...node, ...outage], [`pgr show ${run}`]);
}

const RESTORED = {
  recovered: 'takes writes again',
  'put-back': 'is as it was before: the change was put back',
  moved: 'takes writes on another node',
} as const;

function endText(subject: NoticeSubject, notice: Notice): NoticeText {
  const { runbook, environment, run } = subject;
  switch (notice.event) {
    case 'ended': {
      const { status, failure, isDown } = notice;
      const why = failure === null ? [] : [`step ${failure.step}: ${failure.code}`];
      const down = isDown ? [`${environment} is not known to take writes: look at it now`] : [];
      return said(
        endUrgency(status, isDown),
        `${runbook} of ${environment} ${status} after ${formatSeconds(notice.seconds)}`,
        [...down, ...why, ...measuredLines(notice.measured)],
        [`pgr report ${run}`],
      );
    }
    case 'drill-failed': {
      const lastGood = notice.lastGoodAt === null ? 'never' : shortTime(notice.lastGoodAt);
      return said(
        'page',
        `restore drill of ${environment} FAILED: the backups are not proven`,
        [`drill ${notice.kind}, step ${notice.step}: ${notice.code}`, `when this last worked: ${lastGood}`],
        [`pgr show ${run}`, `pgr drills ${environment}`],
      );
    }
    case 'alarm-raised':
      return said(
        notice.severity === 'critical' ? 'page' : 'warning',
        `alarm ${notice.alarm} of ${environment}: ${typed(notice.summary)}`,
        [],
        [`pgr check ${environment}`],
      );
    case 'alarm-cleared':
      return said(
        'good',
        `alarm ${notice.alarm} of ${environment} is over after ${formatSeconds(notice.seconds)}`,
        [typed(notice.summary)],
        [],
      );
    default:
      return said('notice', `${runbook} of ${environment}: ${notice.event}`, [], [`pgr show ${run}`]);
  }
}

function endUrgency(status: string, isDown: boolean): Urgency {
  if (isDown || status === 'failed') return 'page';
  return status === 'completed' ? 'good' : 'warning';
}

/** What the public is told on a status page: no host, no step, no name of a person. */
export function publicText(notice: Notice, service: string): string | null {
  switch (notice.event) {
    case 'production-down':
      return `${service} is not available: its database is being recovered. Changes made shortly before may be lost; we will say which.`;
    case 'still-down':
      return `${service} is still not available. We are working on it.`;
    case 'service-restored':
      return notice.how === 'put-back'
        ? `${service} is available again.`
        : `${service} is available again and is being watched.`;
    default:
      return null;
  }
}

function said(urgency: Urgency, title: string, lines: string[], commands: string[]): NoticeText {
  return { title, lines, commands, urgency };
}

function askedBy({ requestedBy, reason }: NoticeSubject): string[] {
  return [`asked by ${typed(requestedBy)}: ${typed(reason)}`];
}

function targetLine({ target }: NoticeSubject): string[] {
  return target === null ? [] : [`target: ${typed(target)}`];
}

function byLine(by: readonly string[]): string[] {
  return by.length === 0 ? [] : [`by ${by.map(typed).join(', ')}`];
}

function planLines(plan: NoticePlan): string[] {
  const point = (words: string, at: TransactionPoint | null): string =>
    at === null ? `${words}: none` : `${words}: transaction ${at.xid} at ${at.time} (${at.lsn})`;
  const { target, boundary, flip, rebuild } = plan;
  return [
    ...(target === undefined ? [] : [`target: ${target.kind}${target.value === undefined ? '' : ` ${target.value}`}`]),
    ...(boundary === undefined ? [] : [point('last kept', boundary.kept), point('first dropped', boundary.dropped)]),
    ...(flip === undefined
      ? []
      : [
          flip.failover
            ? `FAILOVER to ${flip.to}: ${flip.from} is taken for dead`
            : `writes move from ${flip.from} to ${flip.to}`,
        ]),
    ...(rebuild === undefined ? [] : [`rebuild ${rebuild.node} from ${rebuild.from} by ${rebuild.method}`]),
    `plan ${plan.hash.slice(0, 12)}`,
  ];
}

function evidenceLines({ good, total, checks }: NoticeEvidence): string[] {
  const shown = [...checks.filter(({ ok }) => !ok), ...checks.filter(({ ok }) => ok)].slice(0, MAX_CHECKS);
  const more = total - shown.length;
  return [
    `evidence: ${String(good)} of ${String(total)} good`,
    ...shown.map(({ check, ok }) => `${ok ? '✓' : '✗ NOT OK'} ${typed(check)}`),
    ...(more > 0 ? [`and ${String(more)} more`] : []),
  ];
}

function measuredLines(measured: Extract<Notice, { event: 'ended' }>['measured']): string[] {
  const { rtoSeconds, rpoSeconds, writeOutageMs } = measured;
  return [
    ...(rtoSeconds === undefined ? [] : [`RTO ${formatSeconds(rtoSeconds)}`]),
    ...(rpoSeconds === undefined ? [] : [`RPO ${formatSeconds(rpoSeconds)}`]),
    ...(writeOutageMs === undefined ? [] : [`nobody could write for ${formatMilliseconds(writeOutageMs)}`]),
  ];
}

function approve(run: string, gate: string, code: string): string {
  return `pgr approve ${run} ${gate} --code ${code}`;
}

function reject(run: string, gate: string, code: string): string {
  return `pgr reject ${run} ${gate} --code ${code}`;
}

/** One line of text that a person typed. */
function typed(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length <= MAX_TYPED ? line : `${line.slice(0, MAX_TYPED - 1)}…`;
}

function shortTime(iso: string): string {
  return iso.replace(/\.\d+Z$/, 'Z');
}
