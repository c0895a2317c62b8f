/** The part of `pgr check` that is about telling people: a channel whose secret cannot be had is found now, and not at 3 a.m. Nothing is sent. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { ChannelConfig } from '../../config/notify.js';
import type { EvidenceCheck } from '../../shared/contracts/sandbox.js';
import type { ActivityDeps } from '../lib/deps.js';
import { knownFailure } from '../lib/failure.js';
import type { ResolveSecret } from './channel.js';

/** A secret manager that is slower than this counts as one that does not answer: a person waits for the whole check. */
const SECRET_WITHIN_MS = 25_000;
/** What a header of HTTP takes (RFC 9110, section 5.5), without blanks at its ends. */
const HEADER_VALUE = /^[\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?$/;

type Secret = { reference: string; problemOf(value: string): string | null };
type Deps = Pick<ActivityDeps, 'config' | 'resolveSecret'>;

/** Activity `checkChannels`: a row for each channel that hears of the environment. Never throws for what it finds. */
export function createCheckChannels(
  { config, resolveSecret }: Deps,
  { withinMs = SECRET_WITHIN_MS }: { withinMs?: number } = {},
) {
  return async function checkChannels({ environment }: { environment: string }): Promise<{ checks: EvidenceCheck[] }> {
    const own = config.notify.filter(
      ({ environments }) => environments === undefined || environments.includes(environment),
    );
    if (own.length === 0) return { checks: [NOBODY] };
    return { checks: await Promise.all(own.map((channel) => rowOf(channel, resolveSecret, withinMs))) };
  };
}

/** Not wrong: a team may watch the logs. */
const NOBODY: EvidenceCheck = {
  check: 'notification channels',
  expected: 'at least one',
  actual: 'none: only the log of the worker is told',
  ok: true,
};

async function rowOf(channel: ChannelConfig, resolveSecret: ResolveSecret, withinMs: number): Promise<EvidenceCheck> {
  const secrets = secretsOf(channel);
  const problems = await Promise.all(secrets.map((secret) => problemOf(secret, resolveSecret, withinMs)));
  const found = problems.filter((problem) => problem !== null);
  const good = secrets.length === 0 ? 'needs no secret' : 'its secrets can be read';
  return {
    check: `channel ${channel.name} (${channel.kind})`,
    expected: good,
    actual: found.length === 0 ? good : found.join('; '),
    ok: found.length === 0,
  };
}

/** Secrets that a channel needs before it can send, with what their values have to be. Pure. */
function secretsOf(channel: ChannelConfig): Secret[] {
  switch (channel.kind) {
    case 'slack':
      return [...given(channel.webhook, asUrl), ...given(channel.token, asHeader)];
    case 'pagerduty':
      return given(channel.routingKey, () => null);
    case 'statuspage':
      return given(channel.key, asHeader);
    case 'ntfy':
      return given(channel.token, asHeader);
    case 'email':
      return given(channel.password, () => null);
    case 'webhook':
    default:
      return [...given(channel.url, asUrl), ...given(channel.secret, () => null)];
  }
}

function given(reference: string | undefined, problem: Secret['problemOf']): Secret[] {
  return reference === undefined ? [] : [{ reference, problemOf: problem }];
}

function asUrl(value: string): string | null {
  return URL.canParse(value) && /^https?:/.test(value) ? null : 'a secret that has to be a url is none';
}

function asHeader(value: string): string | null {
  return HEADER_VALUE.test(value) ? null : 'a secret has characters that no header of http takes';
}

/** What is wrong with a secret, without its value; null when nothing is. */
async function problemOf(secret: Secret, resolveSecret: ResolveSecret, withinMs: number): Promise<string | null> {
  const ended = new AbortController();
  const late = sleep(withinMs, null, { signal: ended.signal }).catch(() => null);
  try {
    const value = await Promise.race([resolveSecret(secret.reference), late]);
    return value === null ? `a secret did not come within ${String(withinMs / 1_000)} s` : secret.problemOf(value);
  } catch (error) {
    const known = knownFailure(error);
    if (known === null) throw error;
    return known.message;
  } finally {
    ended.abort();
  }
}
