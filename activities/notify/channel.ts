import type { ChannelConfig } from '../../config/notify.js';
import type {
  ChannelMemory,
  Notice,
  NoticeEvent,
  NoticeSubject,
  SendNoticeResult,
} from '../../shared/contracts/notices.js';
import type { NoticeText } from '../../shared/notice-text.js';

/** One notice on its way through one channel. */
export type Message = {
  subject: NoticeSubject;
  notice: Notice;
  text: NoticeText;
  /** The same on every attempt: services deduplicate by it. */
  key: string;
  /** The run in the Temporal Web UI, where the config knows its address. */
  link: string | null;
  memory: ChannelMemory;
  /** Earlier attempts that may have been delivered. */
  unsure: number;
};

export type Delivery = Exclude<SendNoticeResult, { outcome: 'not-wanted' }>;

/** One way to tell people. */
export interface Channel {
  /** Events that it is told when the config does not say which; all when null. */
  readonly defaultEvents: readonly NoticeEvent[] | null;
  /**
   * True when the same notice can be sent again without a second message: the service deduplicates by our key, or shows what it has. Where
   * it is false, a notice of which nobody knows whether it arrived is sent once more and never again.
   */
  readonly isRepeatable: boolean;
  /** Throws only typed failures of its secrets. A test message (`test`) leaves nothing behind that somebody has to close. */
  send(message: Message): Promise<Delivery>;
}

export type ChannelOf<Kind extends ChannelConfig['kind']> = Extract<ChannelConfig, { kind: Kind }>;
export type ResolveSecret = (reference: string) => Promise<string>;

/** What somebody who is not at the terminal has to know of. */
export const URGENT_EVENTS: readonly NoticeEvent[] = [
  'gate-opened',
  'gate-reminder',
  'gate-expired',
  'needs-attention',
  'production-down',
  'still-down',
  'service-restored',
  'ended',
  'drill-failed',
  'alarm-raised',
  'alarm-cleared',
];
