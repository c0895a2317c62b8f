import type { Message } from '../../activities/notify/channel.js';
import type { Notice, NoticeFacts, NoticeSubject } from '../../shared/contracts/notices.js';
import { noticeText } from '../../shared/notice-text.js';

export const SUBJECT: NoticeSubject = {
  environment: 'production',
  run: 'production/change',
  runId: '0199c0de-0000-7000-8000-000000000001',
  runbook: 'promote',
  title: 'Promote',
  requestedBy: 'ana',
  reason: 'orders were deleted',
  target: '2026-11-21T03:42:00.000000Z',
};

const AT = '2026-11-21T03:43:00.000Z';

export function notice(facts: NoticeFacts, ordinal = 1): Notice {
  return { ...facts, ordinal, at: AT };
}

/** A message as `sendNotice` makes it. */
export function messageOf(facts: NoticeFacts, more: Partial<Message> = {}): Message {
  const one = notice(facts);
  return {
    subject: SUBJECT,
    notice: one,
    text: noticeText(SUBJECT, one),
    key: `${SUBJECT.run}/${SUBJECT.runId}/${one.event}/${String(one.ordinal)}`,
    link: 'https://temporal.internal/namespaces/default/workflows/production%2Fchange/1',
    memory: {},
    unsure: 0,
    ...more,
  };
}

export const GATE: NoticeFacts = {
  event: 'gate-opened',
  gate: 'promote',
  code: 'K7QF2M',
  required: 2,
  expiresAt: '2026-11-22T03:43:00.000Z',
  plan: {
    hash: 'abcdef0123456789',
    target: { kind: 'time', value: '2026-11-21T03:42:00.000000Z' },
    boundary: {
      kept: { xid: '760', lsn: '0/5A0001C8' as never, time: '2026-11-21T03:41:59.000000Z' },
      dropped: { xid: '761', lsn: '0/5A000228' as never, time: '2026-11-21T03:42:01.000000Z' },
    },
  },
  evidence: {
    good: 1,
    total: 2,
    checks: [
      { check: 'reached T', ok: true },
      { check: 'there are customers', ok: false },
    ],
  },
};

export const ATTENTION: NoticeFacts = {
  event: 'needs-attention',
  step: 'swap-in',
  title: 'Swap the recovered data in',
  code: 'SpaceMissing',
  choices: ['retry', 'abort'],
};
