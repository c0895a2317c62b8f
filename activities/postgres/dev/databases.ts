/** The databases of a restore: the one in use, the one that is being made, the previous one. Statements about them run in database `postgres`. */
import type pg from 'pg';

import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { pollUntil } from '../../lib/poll.js';
import type { DatabaseNames } from './names.js';
import { inServer, type Server } from './session.js';

const MAINTENANCE = 'postgres';
const FAULT_CREATED = 'restore-dev:created-before-mark';
/** A session of a job that was killed a moment ago may still be closing. */
const LOCK_WAIT_MS = 15_000;
const RENAME_TRIES = 20;
const TERMINATE_EVERY_MS = 100;
const OBJECT_IN_USE = '55006';

type DatabaseFacts = { name: string; bytes: number; mark: string | null };

/** Facts of a database, null when there is none. `mark` is what pgr wrote on it. */
async function readDatabase(client: pg.Client, name: string): Promise<DatabaseFacts | null> {
  const { rows } = await client.query<{ name: string; bytes: string; mark: string | null }>(
    `select datname as name, pg_database_size(oid) as bytes, shobj_description(oid, 'pg_database') as mark
     from pg_database where datname = $1`,
    [name],
  );
  const [found] = rows;
  return found === undefined ? null : { ...found, bytes: Number(found.bytes) };
}

/** Holds the lock of a target while `work` goes on. Throws EnvironmentBusy. */
export async function alone<T>(
  server: Server,
  { current }: DatabaseNames,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  return inServer(server, MAINTENANCE, async (client) => {
    const got = await pollUntil(
      async () => {
        const { rows } = await client.query<{ got: boolean }>(
          "select pg_try_advisory_lock(hashtext('pgr restore-dev'), hashtext($1)) as got",
          [current],
        );
        return rows[0]?.got === true ? true : null;
      },
      { timeoutMs: LOCK_WAIT_MS, everyMs: 200 },
    );
    if (got !== null) return work(client);
    throw stepFailure('EnvironmentBusy', `another restore is working on database ${current}`, {
      hint: 'wait for it, or end it with `pgr abort`',
    });
  });
}

/**
 * The database that is being made: the one that an earlier attempt at the same content left, else a new and empty one. Nobody but superusers can
 * connect to it. Throws PreconditionFailed when a database that pgr did not make has its name.
 */
export async function openNext(
  client: pg.Client,
  server: Server,
  { next }: DatabaseNames,
  fingerprint: string,
): Promise<'made' | 'found'> {
  const found = await readDatabase(client, next);
  if (found?.mark === markOf(fingerprint)) return 'found';
  if (found !== null) await dropOurs(client, server, found);
  const superuser = await isSuperuser(client);
  const name = client.escapeIdentifier(next);
  await client.query(`create database ${name} template template0 connection limit ${superuser ? '0' : '-1'}`);
  faultPoint(FAULT_CREATED);
  if (!superuser) await client.query(`revoke connect on database ${name} from public`);
  await client.query(`comment on database ${name} is ${client.escapeLiteral(markOf(fingerprint))}`);
  return 'made';
}

function markOf(fingerprint: string): string {
  return `pgr restore-dev ${fingerprint}`;
}

/** Drops a database that pgr made. One without a mark is ours only when it is empty: made a moment before its maker died. */
async function dropOurs(client: pg.Client, server: Server, { name, mark }: DatabaseFacts): Promise<void> {
  if (mark?.startsWith('pgr restore-dev ') !== true && !(await isEmpty(server, name))) {
    throw stepFailure('PreconditionFailed', `database ${name} is there, and pgr did not make it`, {
      hint: 'rename or drop it by hand: pgr needs the name',
    });
  }
  await dropDatabase(client, name);
}

async function isEmpty(server: Server, name: string): Promise<boolean> {
  return inServer(server, name, async (inside) => {
    const { rows } = await inside.query<{ relations: string }>(
      `select count(*) as relations from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname <> 'information_schema' and n.nspname !~ '^pg_(catalog|toast|temp)'`,
    );
    return rows[0]?.relations === '0';
  });
}

export async function dropDatabase(client: pg.Client, name: string): Promise<void> {
  await client.query(`drop database if exists ${client.escapeIdentifier(name)} with (force)`);
}

export async function isSuperuser(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ is: boolean }>(
    'select rolsuper as is from pg_roles where rolname = current_user',
  );
  return rows[0]?.is === true;
}

/**
 * The new database takes the name of the old one, which becomes the previous one; both names change in one transaction. Sessions with the old one
 * are ended: their applications come back to the new one. Idempotent: `already` when there is nothing to swap in.
 */
export async function swapIn(
  client: pg.Client,
  server: Server,
  names: DatabaseNames,
  fingerprint: string,
): Promise<'swapped' | 'already'> {
  const { current, next, previous } = names;
  const [made, old] = [await readDatabase(client, next), await readDatabase(client, current)];
  if (made?.mark !== markOf(fingerprint)) {
    if (old?.mark === markOf(fingerprint)) return 'already';
    throw stepFailure('PreconditionFailed', `there is no finished database ${next} to swap in`);
  }
  if (old !== null) await dropDatabase(client, previous);
  const quoted = (name: string): string => client.escapeIdentifier(name);
  await withoutSessions(server, [current, next], async () => {
    await client.query('begin');
    try {
      if (old !== null) await client.query(`alter database ${quoted(current)} rename to ${quoted(previous)}`);
      await client.query(`alter database ${quoted(next)} rename to ${quoted(current)}`);
      await client.query(`alter database ${quoted(current)} connection limit -1`);
      await client.query(`grant connect, temporary on database ${quoted(current)} to public`);
      await client.query('commit');
    } catch (error) {
      await client.query('rollback').catch(() => undefined);
      throw error;
    }
  });
  return 'swapped';
}

/** A rename waits 5 s for other sessions to leave; meanwhile they are ended again and again, and new ones wait for the rename. */
async function withoutSessions(server: Server, databases: string[], rename: () => Promise<void>): Promise<void> {
  await inServer(server, MAINTENANCE, async (other) => {
    const terminate = async (): Promise<void> => {
      await other
        .query('select pg_terminate_backend(pid) from pg_stat_activity where datname = any($1)', [databases])
        .catch(() => undefined);
    };
    for (let tries = 1; ; tries += 1) {
      await terminate();
      const timer = setInterval(() => void terminate(), TERMINATE_EVERY_MS);
      try {
        await rename();
        return;
      } catch (error) {
        if ((error as { code?: unknown }).code !== OBJECT_IN_USE || tries >= RENAME_TRIES) throw error;
      } finally {
        clearInterval(timer);
      }
    }
  });
}
