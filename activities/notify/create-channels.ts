import type { ChannelConfig } from '../../config/notify.js';
import type { NoticeEvent } from '../../shared/contracts/notices.js';
import type { ActivityDeps } from '../lib/deps.js';
import type { Channel, ResolveSecret } from './channel.js';
import { createEmail } from './channels/email.js';
import { createLogChannel } from './channels/log.js';
import { createNtfy } from './channels/ntfy.js';
import { createPagerDuty } from './channels/pagerduty.js';
import { createSlackBot } from './channels/slack-bot.js';
import { createSlackWebhook } from './channels/slack-webhook.js';
import { createStatuspage } from './channels/statuspage.js';
import { createWebhook } from './channels/webhook.js';

/** Name of the channel that needs no config. */
const LOG_CHANNEL = 'log';

type Deps = Pick<ActivityDeps, 'config' | 'resolveSecret' | 'log'>;

export type Channels = {
  /** Names of the channels that hear of an environment. */
  of(environment: string): string[];
  /** Null when the config has no such channel (any more). */
  get(name: string): Channel | null;
  /** True when the channel is told of such events; a test goes to all. */
  wants(name: string, event: NoticeEvent): boolean;
};

/** The channels of the config, and the log. Nothing is connected and no secret is read before something is sent. */
export function createChannels({ config, resolveSecret, log }: Deps): Channels {
  const known = new Map(
    config.notify.map((one) => [one.name, { config: one, channel: createChannel(one, resolveSecret) }]),
  );
  const logChannel = createLogChannel(log);
  return {
    of: (environment) => [
      LOG_CHANNEL,
      ...config.notify
        .filter(({ environments }) => environments === undefined || environments.includes(environment))
        .map(({ name }) => name),
    ],
    get: (name) => (name === LOG_CHANNEL ? logChannel : (known.get(name)?.channel ?? null)),
    wants(name, event) {
      if (event === 'test') return true;
      const one = known.get(name);
      const events = one?.config.events ?? one?.channel.defaultEvents ?? null;
      return events === null || events.includes(event);
    },
  };
}

function createChannel(config: ChannelConfig, resolveSecret: ResolveSecret): Channel {
  switch (config.kind) {
    case 'slack': {
      const { token, channel, webhook, api } = config;
      if (token !== undefined && channel !== undefined) return createSlackBot({ token, channel, api }, resolveSecret);
      // The schema holds that one of the two is there.
      return createSlackWebhook(webhook ?? '', resolveSecret);
    }
    case 'email':
      return createEmail(config, resolveSecret);
    case 'pagerduty':
      return createPagerDuty(config, resolveSecret);
    case 'statuspage':
      return createStatuspage(config, resolveSecret);
    case 'ntfy':
      return createNtfy(config, resolveSecret);
    case 'webhook':
    default:
      return createWebhook(config, resolveSecret);
  }
}
