/** What people are told of a run: named facts only, so that no secret and no row of data can get into a message. */
import type { Boundary } from './plan.js';
import type { RunStatus, RunView } from './status.js';

/** Who and what a notice is about; the same for all notices of one run. */
export type NoticeSubject = {
  environment: string;
  /** Workflow id and run id of the run (or of the monitor) that tells. */
  run: string;
  runId: string;
  runbook: string;
  /** Title of the runbook. */
  title: string;
  requestedBy: string;
  reason: string;
  target: string | null;
};

/** What a gate is about. */
export type NoticePlan = {
  hash: string;
  target?: { kind: string; value?: string };
  boundary?: Boundary;
  flip?: { from: string; to: string; failover: boolean };
  rebuild?: { node: string; from: string; method: string };
};

/** Evidence by the names of its checks: the values that were found may be rows of data. */
export type NoticeEvidence = { good: number; total: number; checks: { check: string; ok: boolean }[] };

/** `critical`: somebody has to come now; `warning`: today. */
type AlarmSeverity = 'critical' | 'warning';

export type NoticeFacts =
  /** Somebody tries the channels: no run, nothing happened. */
  | { event: 'test' }
  | { event: 'run-started' }
  | {
      event: 'gate-opened';
      gate: string;
      code: string;
      required: number;
      expiresAt: string;
      statement?: string;
      plan: NoticePlan | null;
      evidence: NoticeEvidence;
    }
  | { event: 'gate-reminder'; gate: string; code: string; waitedSeconds: number }
  | { event: 'gate-expired'; step: string; gate: string }
  | { event: 'gate-closed'; gate: string; outcome: 'approved' | 'rejected'; by: string[] }
  | { event: 'needs-attention'; step: string; title: string; code: string; choices: string[] }
  | { event: 'attention-over'; step: string; choice: 'retry' | 'skip' | 'abort' }
  | { event: 'production-down'; why: string }
  | { event: 'still-down'; since: string; seconds: number; step: string; title: string; position: string }
  /** `how`: recovered, put back by an abort, or writes moved to another node. */
  | { event: 'service-restored'; how: 'recovered' | 'put-back' | 'moved'; writeOutageMs: number | null; node?: string }
  | {
      event: 'ended';
      status: RunStatus;
      seconds: number;
      measured: RunView['measured'];
      failure: { step: string; code: string } | null;
      /** True while nobody is known to be able to write. */
      isDown: boolean;
    }
  | { event: 'drill-failed'; kind: string; step: string; code: string; lastGoodAt: string | null }
  /** `alarm` is its stable name, `summary` a sentence made of named facts. */
  | { event: 'alarm-raised'; alarm: string; summary: string; severity: AlarmSeverity }
  | { event: 'alarm-cleared'; alarm: string; summary: string; seconds: number };

export type NoticeEvent = NoticeFacts['event'];

/** `ordinal` counts from 1 within one execution: with run and run id it is the key that services deduplicate by. */
export type Notice = NoticeFacts & { ordinal: number; at: string };

/** What a channel remembers of a run, e.g. the Slack message that its thread hangs on. Short texts, no secret. */
export type ChannelMemory = Record<string, string>;

export type SendNoticeInput = {
  /** Name of the channel in the config. */
  channel: string;
  subject: NoticeSubject;
  notice: Notice;
  memory: ChannelMemory;
  /** Earlier attempts of this notice of which nobody knows whether they arrived. */
  unsure: number;
};

/** Expected outcomes are values: who sends decides when to try again. */
export type SendNoticeResult =
  /** `note`: what it means on a channel where nothing could be sent without a public seeing it. */
  | { outcome: 'sent'; memory: ChannelMemory; note?: string }
  | { outcome: 'not-wanted' }
  /** Certainly not delivered, and it may be later. */
  | { outcome: 'later'; why: string; afterSeconds: number | null }
  /** It may have been delivered. */
  | { outcome: 'unsure'; why: string }
  /** It will not get better by itself. */
  | { outcome: 'refused'; why: string };

/** Workflow `notifyTest`: one test message through every channel of an environment, or through one. */
export type NotifyTestInput = { environment: string; channel: string | null; requestedBy: string };
export type ChannelTest = { channel: string; outcome: 'delivered' | 'failed'; why: string | null };
export type NotifyTestResult = { channels: ChannelTest[] };

/** Input of the workflow that tells people. `open`: more notices come by signal until one is `ended`. */
export type TellPeopleInput = { subject: NoticeSubject; notices: Notice[]; open: boolean };
