/** PagerDuty Events API v2. One incident a run, and one an alarm: `dedup_key` makes sending twice harmless. */
import type { NoticeEvent } from '../../../shared/contracts/notices.js';
import type { Channel, ChannelOf, Delivery, Message, ResolveSecret } from '../channel.js';
import { callService, deliveryOf, fieldOf, wordOf } from '../http.js';

/** Limits of the API. */
const MAX_SUMMARY = 1_024;

/** Somebody who opens a gate is at a terminal: only a gate that goes on waiting calls another person. */
const EVENTS: readonly NoticeEvent[] = [
  'gate-reminder',
  'gate-expired',
  'gate-closed',
  'needs-attention',
  'attention-over',
  'production-down',
  'still-down',
  'service-restored',
  'ended',
  'drill-failed',
  'alarm-raised',
  'alarm-cleared',
];

export function createPagerDuty(config: ChannelOf<'pagerduty'>, resolveSecret: ResolveSecret): Channel {
  return {
    defaultEvents: EVENTS,
    isRepeatable: true,
    async send(message): Promise<Delivery> {
      const routingKey = await resolveSecret(config.routingKey);
      const url = `${config.api.replace(/\/+$/, '')}/v2/enqueue`;
      const delivery = await enqueue(url, pagerDutyEvent(message, routingKey));
      if (message.notice.event !== 'test' || delivery.outcome !== 'sent') return delivery;
      // Whoever is called by a test finds it over.
      const closed = await enqueue(url, { ...commonFields(message, routingKey), event_action: 'resolve' });
      return closed.outcome === 'sent'
        ? { ...delivery, note: 'triggered and resolved' }
        : { ...delivery, note: 'triggered, but not resolved: resolve it in pagerduty' };
    },
  };
}

async function enqueue(url: string, event: Record<string, unknown>): Promise<Delivery> {
  const result = await callService({ method: 'POST', url, body: JSON.stringify(event) });
  if ('delivery' in result) return result.delivery;
  const { answer } = result;
  if (answer.status === 202) return { outcome: 'sent', memory: {} };
  return deliveryOf(answer, wordOf(fieldOf(answer.json, 'status')));
}

function commonFields(message: Message, routingKey: string): Record<string, unknown> {
  return { routing_key: routingKey, dedup_key: dedupKey(message), client: 'pgr' };
}

/** Body of an event; pure. */
function pagerDutyEvent(message: Message, routingKey: string): Record<string, unknown> {
  const { subject, notice, text, link } = message;
  const common = commonFields(message, routingKey);
  if (isOver(message)) return { ...common, event_action: 'resolve' };
  return {
    ...common,
    event_action: 'trigger',
    payload: {
      summary: text.title.slice(0, MAX_SUMMARY),
      source: subject.environment,
      severity: SEVERITY[text.urgency],
      timestamp: notice.at,
      component: 'postgresql',
      class: notice.event,
      custom_details: { run: subject.run, facts: text.lines, commands: text.commands },
    },
    ...(link === null ? {} : { links: [{ href: link, text: 'the run' }] }),
  };
}

/** What is neither wrong nor over is a test. */
const SEVERITY = { page: 'critical', warning: 'warning', notice: 'info', good: 'info' } as const;

/** A run that ended badly goes on paging: somebody has to look at it. */
function isOver({ notice, text }: Message): boolean {
  return notice.event === 'ended' ? text.urgency !== 'page' : text.urgency === 'good' || notice.event === 'gate-closed';
}

/** A waiting gate and a failed step are matters of their own, and a run that ends closes what is left of both. */
function dedupKey({ subject, notice }: Message): string {
  if (notice.event === 'alarm-raised' || notice.event === 'alarm-cleared') {
    return `pgr/${subject.environment}/alarm/${notice.alarm}`;
  }
  if (notice.event === 'drill-failed') return `pgr/${subject.environment}/drill/${notice.kind}`;
  return `pgr/${subject.run}/${subject.runId}`;
}
