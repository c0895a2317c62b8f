/**
 * Atlassian Statuspage: one incident a run, from the moment when production goes down until it takes writes again. The API creates an
 * incident for each request, so ours is looked for first, by the run in its metadata.
 */
import type { NoticeEvent } from '../../../shared/contracts/notices.js';
import { publicText } from '../../../shared/notice-text.js';
import type { Channel, ChannelOf, Delivery, Message, ResolveSecret } from '../channel.js';
import { callService, deliveryOf, fieldOf, type HttpAnswer } from '../http.js';

type Config = ChannelOf<'statuspage'>;
type Call = (method: 'GET' | 'POST' | 'PATCH', path: string, body?: unknown) => Promise<Result>;
type Result = { answer: HttpAnswer } | { delivery: Delivery };

const EVENTS: readonly NoticeEvent[] = ['production-down', 'service-restored'];

export function createStatuspage(config: Config, resolveSecret: ResolveSecret): Channel {
  const call: Call = async (method, path, body) =>
    callService({
      method,
      url: `${config.api.replace(/\/+$/, '')}/pages/${config.page}${path}`,
      headers: { authorization: `OAuth ${await resolveSecret(config.key)}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  return {
    defaultEvents: EVENTS,
    isRepeatable: true,
    async send(message): Promise<Delivery> {
      if (message.notice.event === 'test') return rehearse(call, message);
      const body = publicText(message.notice, config.service);
      if (body === null) return { outcome: 'sent', memory: message.memory };
      const known = message.memory['incident'];
      const found = await findIncident(call, message);
      if ('delivery' in found) return found.delivery;
      const status = statusOf(message);
      const { incident } = found;
      if (incident === null) {
        // The end of an outage that the page never heard of, or that somebody has resolved by hand.
        if (status === 'resolved') return { outcome: 'sent', memory: {} };
        return known === undefined ? create(call, config, message, body) : { outcome: 'sent', memory: message.memory };
      }
      const memory = { incident: incident.id };
      if (incident.lastBody === body) return { outcome: 'sent', memory };
      const incidentBody = { status, body, components: componentsOf(config, status) };
      return outcomeOf(await call('PATCH', `/incidents/${incident.id}`, { incident: incidentBody }), memory);
    },
  };
}

/** The public would see a test: the key and the page are proven by reading. */
async function rehearse(call: Call, message: Message): Promise<Delivery> {
  const found = await findIncident(call, message);
  if ('delivery' in found) return found.delivery;
  return { outcome: 'sent', memory: {}, note: 'only read: a message would be public' };
}

function statusOf({ notice }: Message): 'identified' | 'resolved' {
  return notice.event === 'service-restored' ? 'resolved' : 'identified';
}

function componentsOf({ components }: Config, status: 'identified' | 'resolved'): Record<string, string> {
  const state = status === 'resolved' ? 'operational' : 'major_outage';
  return Object.fromEntries(components.map((id) => [id, state]));
}

async function create(call: Call, config: Config, message: Message, body: string): Promise<Delivery> {
  const result = await call('POST', '/incidents', {
    incident: {
      name: `${config.service} is not available`,
      status: 'identified',
      body,
      component_ids: config.components,
      components: componentsOf(config, 'identified'),
      metadata: { pgr: { run: ownerOf(message) } },
    },
  });
  const id = 'answer' in result ? fieldOf(result.answer.json, 'id') : undefined;
  return outcomeOf(result, typeof id === 'string' ? { incident: id } : {});
}

type Incident = { id: string; lastBody: string | null };

/** The open incident of this run; null when there is none. */
async function findIncident(
  call: Call,
  message: Message,
): Promise<{ incident: Incident | null } | { delivery: Delivery }> {
  const result = await call('GET', '/incidents/unresolved');
  if ('delivery' in result) return { delivery: notLooked(result.delivery) };
  const { answer } = result;
  if (answer.status !== 200 || !Array.isArray(answer.json)) return { delivery: notLooked(deliveryOf(answer)) };
  const own: unknown = answer.json.find(
    (one) => fieldOf(fieldOf(fieldOf(one, 'metadata'), 'pgr'), 'run') === ownerOf(message),
  );
  const id = fieldOf(own, 'id');
  if (typeof id !== 'string') return { incident: null };
  const updates: unknown = fieldOf(own, 'incident_updates');
  const newest: unknown = Array.isArray(updates) ? updates[0] : undefined;
  const lastBody = fieldOf(newest, 'body');
  return { incident: { id, lastBody: typeof lastBody === 'string' ? lastBody : null } };
}

/** Only looking failed: nothing was changed in this attempt. */
function notLooked(delivery: Delivery): Delivery {
  return delivery.outcome === 'unsure' ? { ...delivery, outcome: 'later', afterSeconds: null } : delivery;
}

function ownerOf({ subject }: Message): string {
  return `${subject.run}/${subject.runId}`;
}

function outcomeOf(result: Result, memory: Record<string, string>): Delivery {
  if ('delivery' in result) return result.delivery;
  const { status } = result.answer;
  return status === 200 || status === 201 ? { outcome: 'sent', memory } : deliveryOf(result.answer);
}
