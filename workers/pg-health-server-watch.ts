/**
 * Asks the server of a node every 100 ms over one kept connection. The answer is kept with the time of its question; a server that hangs lets it
 * grow old. When the connection ends, the server is down at once, and is tried again after a moment.
 */
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

import type { ServerState } from './pg-health-answer.js';

export type ServerLogin = {
  host: string;
  port: number;
  user: string;
  database: string;
  /** Read before each login until one succeeded; again after one was refused (the password was changed). */
  password: () => Promise<string | null>;
};

export type ServerWatch = { state(): ServerState; stop(): Promise<void> };

const EVERY_MS = 100;
/** A login needs a process of the server, and on a busy host its turn. Shorter, and a loaded server would never get through. */
const CONNECT_TIMEOUT_MS = 2_000;
/** Long after the state has grown stale: perhaps only the process that serves us hangs, so another one is asked for. */
const ANSWER_TIMEOUT_MS = 1_000;
/** Pauses between attempts to connect grow to this by these steps. */
const BACKOFF_STEP_MS = 20;
const LONGEST_BACKOFF_MS = 100;
/** A login that is refused fills the server's log; it becomes right when a person does something. */
const REFUSED_PAUSE_MS = 5_000;

const QUESTION = `
  select pg_is_in_recovery() as "inRecovery",
         current_setting('default_transaction_read_only')::boolean as "readOnly",
         case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end::text as lsn,
         case when r.pid is not null then coalesce(r.status, 'hidden') end as receiver
    from (select 1) as one left join pg_stat_wal_receiver r on true`;

type Answer = { inRecovery: boolean; readOnly: boolean; lsn: string | null; receiver: string | null };

/** Not connected yet; never throws, whatever the server does. `now` is in milliseconds and only grows. */
export function watchServer(login: ServerLogin, now: () => number): ServerWatch {
  const stop = new AbortController();
  let state: ServerState = { kind: 'down', why: 'not connected yet' };
  const set = (next: ServerState): void => {
    state = next;
  };
  const running = watch(login, now, stop.signal, set);
  return {
    state: () => state,
    stop: () => {
      stop.abort();
      return running;
    },
  };
}

async function watch(
  login: ServerLogin,
  now: () => number,
  stop: AbortSignal,
  set: (state: ServerState) => void,
): Promise<void> {
  let backoff = 0;
  while (!stop.aborted) {
    const session = new Session(login);
    stop.addEventListener('abort', session.destroy, { once: true });
    let pause: number;
    try {
      await session.open();
      backoff = 0;
      await follow(session, now, stop, set);
      pause = 0;
    } catch (error) {
      set({ kind: 'down', why: session.reasonOf(error) });
      backoff = Math.min(backoff + BACKOFF_STEP_MS, LONGEST_BACKOFF_MS);
      pause = isRefusedLogin(error) ? REFUSED_PAUSE_MS : backoff;
    } finally {
      stop.removeEventListener('abort', session.destroy);
      session.destroy();
    }
    await sleep(pause, stop);
  }
}

/** Asks until the connection ends or fails (then it throws) or somebody stops it. */
async function follow(
  session: Session,
  now: () => number,
  stop: AbortSignal,
  set: (state: ServerState) => void,
): Promise<void> {
  while (!stop.aborted) {
    const askedAt = now();
    const answer = await session.ask();
    set({ kind: 'answered', askedAt, ...answer });
    // A stop ends the session too.
    await sleep(Math.max(0, askedAt + EVERY_MS - now()), session.ended);
  }
}

/** One connection. `ended` fires as soon as it ends, also between two questions: a server that was stopped is down at once. */
class Session {
  readonly #socket = new Socket();
  readonly #login: ServerLogin;
  #client: pg.Client | null = null;
  readonly #end = new AbortController();

  constructor(login: ServerLogin) {
    this.#login = login;
  }

  get ended(): AbortSignal {
    return this.#end.signal;
  }

  async open(): Promise<void> {
    const { host, port, user, database } = this.#login;
    const password = await this.#login.password();
    const client = new pg.Client({
      host,
      port,
      user,
      database,
      password: () => password ?? '',
      application_name: 'pgr-health',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: ANSWER_TIMEOUT_MS,
      stream: () => this.#socket,
    });
    this.#client = client;
    // The first of them says why; without a listener for errors the process would end.
    client.on('error', (error) => {
      this.#end.abort(error);
    });
    client.on('end', () => {
      this.#end.abort(new Error('the server ended the connection'));
    });
    await client.connect();
  }

  async ask(): Promise<Answer> {
    if (this.#end.signal.aborted) throw this.#end.signal.reason;
    if (this.#client === null) throw new Error('not connected');
    const { rows } = await this.#client.query<Answer>({ name: 'pgr-health', text: QUESTION });
    const [answer] = rows;
    if (answer === undefined) throw new Error('the server gave no answer');
    return answer;
  }

  /** Text for people, with the address, never with the password. */
  reasonOf(error: unknown): string {
    const { host, port } = this.#login;
    const message = error instanceof Error || hasMessage(error) ? error.message : 'unknown';
    return `${host}:${String(port)}: ${message === '' ? 'no answer' : message}`;
  }

  readonly destroy = (): void => {
    this.#socket.destroy();
  };
}

function hasMessage(error: unknown): error is { message: string } {
  return typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string';
}

/** SQLSTATE class 28, or a password method that the driver could not serve. */
function isRefusedLogin(error: unknown): boolean {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return (typeof code === 'string' && /^28/.test(code)) || (hasMessage(error) && error.message.startsWith('SASL:'));
}

async function sleep(milliseconds: number, stop: AbortSignal): Promise<void> {
  await delay(milliseconds, undefined, { signal: stop }).catch(() => undefined);
}
