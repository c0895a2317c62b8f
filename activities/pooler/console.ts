/** A connection to PgBouncer's admin console: database `pgbouncer`, simple queries only (PgBouncer docs, "Admin console"). */
import type { ApplicationFailure } from '@temporalio/common';
import pg from 'pg';

import { withClient } from '../lib/database.js';
import { isFailureOf, stepFailure } from '../lib/failure.js';

export type PoolerAddress = { name: string; address: string; port: number; user: string; password: string | null };

export type Console = {
  /** Rows of one command. Throws RoutingUnavailable, also when there is no answer in `timeoutMs` (0: waits on); an error of PgBouncer passes as pg.DatabaseError. */
  ask(command: string, timeoutMs: number): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
};

/** Opens one. Throws RoutingUnavailable, CredentialsRefused, NotAllowed. */
export async function openConsole(pooler: PoolerAddress, timeoutMs: number): Promise<Console> {
  const state: { ended: Promise<unknown>; finish: () => void } = { ended: Promise.resolve(), finish: () => undefined };
  const client = await new Promise<pg.Client>((resolve, reject) => {
    const { address: host, port, user, password } = pooler;
    const login = { host, port, user, password, database: 'pgbouncer', plain: true, connectTimeoutMs: timeoutMs };
    state.ended = withClient({ ...login, statementTimeoutMs: 0 }, (opened) => {
      resolve(opened);
      return new Promise<void>((finish) => {
        state.finish = finish;
      });
    });
    state.ended.catch(reject);
  }).catch((error: unknown) => {
    throw poolerFailure(pooler, 'login', error);
  });
  return {
    ask: async (command, limitMs) => {
      try {
        const { rows } = await within(client.query<Record<string, unknown>>(command), limitMs);
        return rows;
      } catch (error) {
        if (error instanceof pg.DatabaseError) throw error;
        throw poolerFailure(pooler, command, error);
      }
    },
    close: async () => {
      state.finish();
      await state.ended.catch(() => undefined);
    },
  };
}

async function within<T>(answer: Promise<T>, limitMs: number): Promise<T> {
  if (limitMs === 0) return answer;
  // The answer may come, or fail, when nobody waits any more.
  answer.catch(() => undefined);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`no answer in ${String(limitMs)} ms`));
    }, limitMs);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What a failure on a console means; always with the name of the pooler and the command. */
export function poolerFailure(pooler: PoolerAddress, command: string, cause: unknown): ApplicationFailure {
  if (isFailureOf(cause, 'RoutingUnavailable')) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  const text = `pooler ${pooler.name} (${pooler.address}:${String(pooler.port)}), "${command}": ${why}`;
  if (isFailureOf(cause, 'CredentialsRefused')) return stepFailure('CredentialsRefused', text, { cause });
  if (cause instanceof pg.DatabaseError) {
    return stepFailure(command === 'login' ? 'NotAllowed' : 'PreconditionFailed', text, {
      hint:
        command === 'login'
          ? 'add the user to admin_users of pgbouncer.ini and reload it'
          : 'look at the admin console of the pooler: somebody else may have paused it as a whole (`RESUME`), or the database is not known there',
      cause,
    });
  }
  return stepFailure('RoutingUnavailable', text, {
    hint: 'look whether the pooler runs and its admin console answers, then `pgr retry`',
    cause,
  });
}

/** Name as the console's parser reads it. */
export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;
