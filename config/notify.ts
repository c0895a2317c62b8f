/** The part of recovery.yaml that says whom to tell, and how. */
import { z } from 'zod';

import { name, secretRef } from './schema-parts.js';

/** What people can be told of; the names are those of shared/contracts/notices.ts. */
const noticeEvent = z.enum([
  'run-started',
  'gate-opened',
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
]);

const common = {
  /** Name of the channel: stored with runs, so that a channel knows its thread again. */
  name,
  /** Environments that it hears of; all when left out. */
  environments: z.array(name).min(1).optional(),
  /** What it is told; what fits its kind when left out. */
  events: z.array(noticeEvent).min(1).optional(),
};

const https = z.url({ protocol: /^https?$/ });

function isThisMachine(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

export const channelSchema = z.discriminatedUnion('kind', [
  z
    .strictObject({
      ...common,
      kind: z.literal('slack'),
      /** An incoming webhook: one message after the other, no thread. */
      webhook: secretRef.optional(),
      /** Or the token of a bot (chat:write; channels:history or groups:history against repeats): one thread a run. */
      token: secretRef.optional(),
      /** Id of the bot's channel: Slack finds the thread again by it. */
      channel: z
        .string()
        .regex(/^[CGD][A-Z0-9]{5,}$/, 'use the id of the channel (C…), at the end of its details in Slack')
        .optional(),
      api: https.default('https://slack.com/api'),
    })
    .refine(({ webhook, token }) => (webhook === undefined) !== (token === undefined), {
      message: 'give either webhook, or token and channel',
    })
    .refine(({ token, channel }) => (token === undefined) === (channel === undefined), {
      message: 'token and channel belong together',
    }),
  z.strictObject({
    ...common,
    kind: z.literal('pagerduty'),
    routingKey: secretRef,
    /** https://events.eu.pagerduty.com for the service region of the EU. */
    api: https.default('https://events.pagerduty.com'),
  }),
  /** Atlassian Statuspage: an incident from the moment when production goes down. */
  z.strictObject({
    ...common,
    kind: z.literal('statuspage'),
    page: z.string().regex(/^[A-Za-z0-9_-]+$/, 'use the id of the page'),
    key: secretRef,
    /** What the public calls the service. */
    service: z.string().min(1).max(100),
    /** Ids of the components that go to major_outage and back to operational. */
    components: z.array(z.string().regex(/^[A-Za-z0-9_-]+$/, 'use the id of the component')).default([]),
    api: https.default('https://api.statuspage.io/v1'),
  }),
  z.strictObject({
    ...common,
    kind: z.literal('ntfy'),
    topic: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'use letters, digits, - and _'),
    token: secretRef.optional(),
    api: https.default('https://ntfy.sh'),
  }),
  z
    .strictObject({
      ...common,
      kind: z.literal('email'),
      /** Mail server that takes mails from this machine or this user. */
      host: z.string().min(1),
      port: z.int().min(1).max(65_535).default(587),
      /** starttls: encrypted or not at all; implicit: from the first byte (port 465); none: a relay on this machine. */
      tls: z.enum(['starttls', 'implicit', 'none']).default('starttls'),
      user: z.string().min(1).optional(),
      password: secretRef.optional(),
      from: z.email(),
      to: z.array(z.email()).min(1),
    })
    .refine(({ user, password }) => (user === undefined) === (password === undefined), {
      message: 'user and password belong together',
    })
    .refine(({ tls, password, host }) => tls !== 'none' || password === undefined || isThisMachine(host), {
      message: 'a password needs tls: starttls or implicit',
    }),
  /** Signed JSON by POST. */
  z.strictObject({ ...common, kind: z.literal('webhook'), url: secretRef, secret: secretRef }),
]);

export type ChannelConfig = z.output<typeof channelSchema>;
