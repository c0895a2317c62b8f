/**
 * Requests to a controller. It answers an unknown path with its web page and status 200 (measured, v3.49), so only JSON counts as an answer; a
 * redirect is not followed, because it would turn a POST into a GET.
 */
import { stepFailure } from '../../lib/failure.js';

export type ApiRequest = {
  method: 'GET' | 'POST';
  /** Below `/api/v1`, with its query. */
  path: string;
  body?: unknown;
  /** JWT of a signed-in user. */
  bearer?: string;
};

/** `body` is the parsed JSON; null when there was none. */
export type ApiAnswer = { status: number; body: unknown };

/** A download that has begun. Pieces come until the server ends it; a connection that breaks is StoreUnavailable. */
export type ApiDownload = { status: number; body: unknown; content: AsyncIterable<Buffer> | null };

export type Http = {
  /** Where the controller is, for messages. */
  where: string;
  ask(request: ApiRequest): Promise<ApiAnswer>;
  /** A GET whose answer is not JSON when it is good; the path may hold a token and is in no message. */
  download(path: string): Promise<ApiDownload>;
};

export type HttpTimes = {
  /** Until an answer is whole. */
  answerMs: number;
  /** Until a download begins: the controller opens the first object first. */
  beginMs: number;
  /** Between two pieces of a download. */
  idleMs: number;
};

/**
 * A controller answers in milliseconds; a storage that hangs leaves a download without its first byte for ever (measured). A download begins anew
 * when it is given up, so a network that is cut for a minute is waited for.
 */
const HTTP_TIMES: HttpTimes = { answerMs: 20_000, beginMs: 90_000, idleMs: 180_000 };

const API = '/api/v1';

/** Requests to the controller at `url`. */
export function createHttp(url: string, times: HttpTimes = HTTP_TIMES): Http {
  const where = url.replace(/\/+$/, '').replace(/\/api\/v1$/, '');
  return {
    where,
    ask: (request) => ask(where, times, request),
    download: (path) => download(where, times, path),
  };
}

async function ask(where: string, times: HttpTimes, request: ApiRequest): Promise<ApiAnswer> {
  const { method, path, body, bearer } = request;
  const what = `${method} ${API}${path.split('?')[0] ?? ''}`;
  try {
    const response = await fetch(`${where}${API}${path}`, {
      method,
      redirect: 'manual',
      signal: AbortSignal.timeout(times.answerMs),
      headers: {
        accept: 'application/json',
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await jsonOf(where, what, response) };
  } catch (error) {
    throw asFailure(where, what, error);
  }
}

async function download(where: string, times: HttpTimes, path: string): Promise<ApiDownload> {
  const what = `GET ${API}${path.split('?')[0] ?? ''}`;
  const abort = new AbortController();
  const late = setTimeout(() => {
    abort.abort(new Error(`no answer in ${String(times.beginMs / 1000)} s`));
  }, times.beginMs);
  try {
    const response = await fetch(`${where}${API}${path}`, { redirect: 'manual', signal: abort.signal });
    const isFile = response.status === 200 && !isPage(response) && !isJson(response);
    if (!isFile) return { status: response.status, body: await jsonOf(where, what, response), content: null };
    return { status: 200, body: null, content: piecesOf({ where, what, response, abort, idleMs: times.idleMs }) };
  } catch (error) {
    throw asFailure(where, what, error);
  } finally {
    clearTimeout(late);
  }
}

type Download = { where: string; what: string; response: Response; abort: AbortController; idleMs: number };

async function* piecesOf({ where, what, response, abort, idleMs }: Download): AsyncGenerator<Buffer> {
  const reader = (response.body as ReadableStream<Uint8Array> | null)?.getReader();
  if (reader === undefined) return;
  try {
    for (;;) {
      const timer = setTimeout(() => {
        abort.abort(new Error(`nothing came for ${String(idleMs / 1000)} s`));
      }, idleMs);
      const next = await reader.read().finally(() => {
        clearTimeout(timer);
      });
      if (next.done) return;
      yield Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    }
  } catch (error) {
    throw asFailure(where, what, error);
  } finally {
    // Left early, the connection must end: the controller holds the user's only download as long as it is open.
    abort.abort();
  }
}

async function jsonOf(where: string, what: string, response: Response): Promise<unknown> {
  const text = await response.text();
  if (response.status >= 300 && response.status < 400) {
    throw stepFailure('ConfigInvalid', `${where} sends ${what} elsewhere (status ${String(response.status)})`, {
      hint: `write the address that it redirects to into backups.url: ${response.headers.get('location') ?? 'unknown'}`,
    });
  }
  // What a proxy says while the controller is down is a page too.
  if (response.status >= 500 || text === '') return isJson(response) ? parse(text) : null;
  if (isJson(response)) return parse(text);
  throw stepFailure(
    'ConfigInvalid',
    `${where} answers ${what} with a web page instead of json (status ${String(response.status)}): there is no such path`,
    {
      hint: 'check backups.url: the address of the controller without a path; controllers before v3.44 have another API',
    },
  );
}

function isJson(response: Response): boolean {
  return /^application\/json\b/.test(response.headers.get('content-type') ?? '');
}

function isPage(response: Response): boolean {
  return /^text\/html\b/.test(response.headers.get('content-type') ?? '');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

/** Of a refused connection the message is empty where several addresses were tried: its code says it then. */
function reasonOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '';
  const { message, code } = error as { message?: unknown; code?: unknown };
  if (typeof message === 'string' && message !== '') return message;
  return typeof code === 'string' ? code : '';
}

/** Errors of `fetch` say "fetch failed" and hide the reason in their cause. */
function asFailure(where: string, what: string, error: unknown): Error {
  if (error instanceof Error && error.name === 'ApplicationFailure') return error;
  const cause = typeof error === 'object' && error !== null && 'cause' in error ? reasonOf(error.cause) : '';
  const why = cause || reasonOf(error) || String(error);
  return stepFailure('StoreUnavailable', `the controller at ${where} does not answer (${what}): ${why}`, {
    hint: 'look at the container of the controller and its log; the run goes on by itself when it answers, or `pgr retry`',
    cause: error,
  });
}
