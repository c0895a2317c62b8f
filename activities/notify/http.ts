/** One HTTP call to a service that is told something: bounded in time and size, no redirect followed, and clear about what is certain. */
import type { Delivery } from './channel.js';

/** A person waits at the other end, but not for this: a service that is slower than this is tried again. */
const TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 256 * 1024;
/** A service that asks for more patience than this is tried earlier all the same. */
const LONGEST_WAIT_SECONDS = 3_600;

/** Failures before anything of the request was sent. */
const NOT_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);

export type HttpRequest = {
  method: 'GET' | 'POST' | 'PATCH';
  url: string;
  headers?: Record<string, string>;
  /** Sent as it stands. */
  body?: string;
  timeoutMs?: number;
};

export type HttpAnswer = { status: number; text: string; json: unknown; retryAfterSeconds: number | null };
export type HttpResult = { answer: HttpAnswer } | { delivery: Delivery };

/** The answer, or what is known of the delivery when there was none. Never throws; nothing of the URL is in a message, because some are secrets. */
export async function callService(request: HttpRequest): Promise<HttpResult> {
  const { method, url, headers = {}, body, timeoutMs = TIMEOUT_MS } = request;
  try {
    const response = await fetch(url, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json; charset=utf-8' }),
        'user-agent': 'pgr',
        ...headers,
      },
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
      ...(body === undefined ? {} : { body }),
    });
    const text = await readText(response);
    return {
      answer: {
        status: response.status,
        text,
        json: parseJson(text),
        retryAfterSeconds: retryAfter(response.headers.get('retry-after'), Date.now()),
      },
    };
  } catch (error) {
    return { delivery: afterError(error) };
  }
}

/** What an answer that is no success means for any service. `detail`: what the service calls it, when that is no free text. */
export function deliveryOf({ status, retryAfterSeconds }: HttpAnswer, detail = ''): Delivery {
  const why = `http status ${String(status)}${detail === '' ? '' : ` (${detail})`}`;
  if (status === 429 || status === 420 || status === 503) {
    return { outcome: 'later', why, afterSeconds: retryAfterSeconds };
  }
  // A gateway that gave up may have passed the request on.
  if (status === 408 || status === 502 || status === 504) return { outcome: 'unsure', why };
  if (status >= 500) return { outcome: 'later', why, afterSeconds: retryAfterSeconds };
  return { outcome: 'refused', why };
}

/** Seconds that a `Retry-After` asks for: a number of seconds or a date (RFC 9110, section 10.2.3). */
export function retryAfter(value: string | null, nowMs: number): number | null {
  if (value === null) return null;
  const seconds = /^\d+$/.test(value.trim()) ? Number(value) : (Date.parse(value) - nowMs) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(0, Math.ceil(seconds)), LONGEST_WAIT_SECONDS) : null;
}

/** A short word of a service's own vocabulary, such as `channel_not_found`; empty for anything else, which may quote what we sent. */
export function wordOf(value: unknown): string {
  return typeof value === 'string' && /^[a-z][a-z0-9_ -]{0,60}$/i.test(value.trim()) ? value.trim() : '';
}

function afterError(error: unknown): Delivery {
  const cause = fieldOf(error, 'cause');
  const code = [fieldOf(cause, 'code'), fieldOf(cause, 'name'), fieldOf(error, 'name')].find(
    (one) => typeof one === 'string',
  );
  const name = wordOf(code);
  if (NOT_SENT.has(name))
    return { outcome: 'later', why: `the service cannot be reached (${name})`, afterSeconds: null };
  // A URL that is none (also as a cause), a secret with a line end: said before anything is sent, with the value in the message.
  if (cause === undefined && name === 'TypeError') return UNSENDABLE;
  if (name === 'ERR_INVALID_URL' || name === 'ERR_INVALID_CHAR') return UNSENDABLE;
  return { outcome: 'unsure', why: name === 'TimeoutError' ? 'no answer in time' : `the connection broke (${name})` };
}

const UNSENDABLE: Delivery = { outcome: 'refused', why: 'the url or a header cannot be sent as it is' };

async function readText(response: Response): Promise<string> {
  if (response.body === null) return '';
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) break;
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

/** A field of a JSON object; undefined for anything else. */
export function fieldOf(value: unknown, field: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[field] : undefined;
}
