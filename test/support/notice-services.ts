/**
 * Stand-ins for the services that are told something, as HTTP servers with the recorded traps: Slack's API answers 200 with ok:false, its webhook
 * answers words and no id, Statuspage makes an incident for each request, PagerDuty deduplicates by dedup_key.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

type Request = { method: string; path: string; headers: Record<string, string>; body: string; json: unknown };
export type Answer = { status: number; headers?: Record<string, string>; body?: string | object };
/** `hang`: no answer; `slow`: an answer that never ends; `broken`: the request is taken and the connection cut; null: as the service usually answers. */
type Fault = Answer | 'hang' | 'slow' | 'broken';
type Serve = (request: Request) => Answer;

export type NoticeService = {
  url: string;
  requests: Request[];
  /** Faults of the next requests, in order. `afterwards`: the service does its work before the fault. */
  fail(...faults: { fault: Fault; afterwards?: boolean }[]): void;
  stop(): Promise<void>;
};

/** A server on a port that the system chooses; `stop` cuts what hangs. */
export async function startService(serve: Serve): Promise<NoticeService> {
  const requests: Request[] = [];
  const faults: { fault: Fault; afterwards?: boolean }[] = [];
  const server = createServer((incoming, outgoing) => {
    void readRequest(incoming).then((request) => {
      requests.push(request);
      const next = faults.shift();
      const usual = next === undefined || next.afterwards === true ? serve(request) : null;
      if (next?.fault === 'hang') return;
      if (next?.fault === 'slow') {
        outgoing.writeHead(200).write('o');
        return;
      }
      if (next?.fault === 'broken') {
        incoming.socket.destroy();
        return;
      }
      respond(outgoing, next?.fault ?? usual ?? { status: 500 });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${String(port)}`,
    requests,
    fail: (...more) => faults.push(...more),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

async function readRequest(incoming: IncomingMessage): Promise<Request> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks).toString('utf8');
  return {
    method: incoming.method ?? '',
    path: incoming.url ?? '',
    headers: Object.fromEntries(Object.entries(incoming.headers).map(([key, value]) => [key, String(value)])),
    body,
    json: body === '' ? null : JSON.parse(body),
  };
}

function respond(outgoing: ServerResponse, { status, headers = {}, body = '' }: Answer): void {
  const isText = typeof body === 'string';
  outgoing.writeHead(status, { 'content-type': isText ? 'text/plain' : 'application/json', ...headers });
  outgoing.end(isText ? body : JSON.stringify(body));
}

type SlackMessage = {
  ts: string;
  thread_ts?: string;
  text: string;
  metadata?: { event_type: string; event_payload: { key: string } };
  reply_broadcast?: boolean;
};

/** Slack's API for a bot. `canRead`: it has the scope that its history needs. */
export async function startSlack(options: { token: string; canRead?: boolean }) {
  const messages: SlackMessage[] = [];
  const state = { canRead: options.canRead ?? true };
  const no = (error: string): Answer => ({ status: 200, body: { ok: false, error } });
  const service = await startService(({ path, headers, json }) => {
    const url = new URL(path, 'http://slack');
    if (headers['authorization'] !== `Bearer ${options.token}`) return no('invalid_auth');
    if (url.pathname === '/chat.postMessage') {
      const message = json as SlackMessage;
      const { thread_ts: thread } = message;
      if (thread !== undefined && !messages.some(({ ts }) => ts === thread)) return no('thread_not_found');
      const ts = `1700000000.${String(messages.length + 1).padStart(6, '0')}`;
      messages.push({ ...message, ts });
      return { status: 200, body: { ok: true, channel: 'C012345', ts } };
    }
    if (!state.canRead) return no('missing_scope');
    const thread = url.searchParams.get('ts');
    const found = messages.filter(({ ts, thread_ts: parent }) =>
      thread === null ? parent === undefined : ts === thread || parent === thread,
    );
    return { status: 200, body: { ok: true, messages: found.toReversed() } };
  });
  return { ...service, messages, state };
}

type Incident = {
  id: string;
  status: string;
  metadata: unknown;
  components: Record<string, string>;
  incident_updates: { status: string; body: string }[];
};

/** Statuspage: every POST makes an incident, whatever there is already. */
export async function startStatuspage() {
  const incidents: Incident[] = [];
  type Body = { incident: { status: string; body: string; metadata?: unknown; components: Record<string, string> } };
  const service = await startService(({ method, path, json }) => {
    if (method === 'GET') return { status: 200, body: incidents.filter(({ status }) => status !== 'resolved') };
    const { incident } = json as Body;
    const update = { status: incident.status, body: incident.body };
    if (method === 'POST') {
      const made: Incident = {
        id: `inc${String(incidents.length + 1)}`,
        status: incident.status,
        metadata: incident.metadata,
        components: incident.components,
        incident_updates: [update],
      };
      incidents.push(made);
      return { status: 201, body: made };
    }
    const found = incidents.find(({ id }) => path.endsWith(`/${id}`));
    if (found === undefined) return { status: 404, body: { error: 'not found' } };
    found.status = incident.status;
    found.components = incident.components;
    found.incident_updates.unshift(update);
    return { status: 200, body: found };
  });
  return { ...service, incidents };
}

/** PagerDuty's Events API: one incident for each dedup_key. */
export async function startPagerDuty(routingKey: string) {
  const incidents = new Map<string, 'triggered' | 'resolved'>();
  type Event = { routing_key: string; dedup_key: string; event_action: string; payload?: { summary: string } };
  const service = await startService(({ json }) => {
    const event = json as Event;
    if (event.routing_key !== routingKey || (event.event_action === 'trigger' && event.payload === undefined)) {
      return {
        status: 400,
        body: {
          status: 'invalid event',
          message: 'Event object is invalid',
          errors: [`routing_key ${event.routing_key}`],
        },
      };
    }
    incidents.set(event.dedup_key, event.event_action === 'resolve' ? 'resolved' : 'triggered');
    return { status: 202, body: { status: 'success', message: 'Event processed', dedup_key: event.dedup_key } };
  });
  return { ...service, incidents };
}
