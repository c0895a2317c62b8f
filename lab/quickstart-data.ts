/** What the application would see: read through the write address of the lab. */
import pg from 'pg';

export type DataView = { orders: number; newest: string | null };

type Kept = { id: string; at: string; ordersSinceStart: number };

/** Hosts of a libpq multi-host URL, one URL each (the `pg` package knows single hosts only). */
export function singleHostUrls(url: string): string[] {
  const match = /^(postgres(?:ql)?:\/\/(?:[^@/]*@)?)([^/]+)(\/[^?]*)?/.exec(url);
  if (!match) return [];
  return (match[2] ?? '').split(',').map((host) => `${match[1] ?? ''}${host}${match[3] ?? ''}`);
}

/** Runs one query on the node that accepts writes (target_session_attrs=read-write). */
async function onPrimary<T extends pg.QueryResultRow>(url: string, sql: string, values: unknown[] = []): Promise<T> {
  for (const single of singleHostUrls(url)) {
    const client = new pg.Client({
      connectionString: single,
      connectionTimeoutMillis: 3000,
      statement_timeout: 30_000,
    });
    try {
      await client.connect();
      const { rows } = await client.query<{ standby: boolean }>('select pg_is_in_recovery() as standby');
      if (rows[0]?.standby !== false) continue;
      const result = await client.query<T>(sql, values);
      if (result.rows[0]) return result.rows[0];
    } catch (error) {
      if ((error as { code?: string }).code !== 'ECONNREFUSED') throw error;
    } finally {
      await client.end().catch(() => undefined);
    }
  }
  throw new Error('no node accepts writes at the write address');
}

/** Orders and the newest of them. */
export async function countOrders(url: string): Promise<DataView> {
  const row = await onPrimary<{ orders: string; newest: Date | null }>(
    url,
    'select count(*) as orders, max(created_at) as newest from orders',
  );
  return { orders: Number(row.orders), newest: row.newest?.toISOString() ?? null };
}

/** The newest order at or before the target, and how many the application had written until then. */
export async function newestKeptOrder(url: string, until: string): Promise<Kept> {
  const row = await onPrimary<{ id: string; at: Date; live: string }>(
    url,
    `select id::text as id, created_at as at,
            (select count(*) from orders where created_at <= $1 and created_at > $1::timestamptz - interval '1 hour') as live
       from orders where created_at <= $1 order by created_at desc limit 1`,
    [until],
  );
  return { id: row.id, at: row.at.toISOString(), ordersSinceStart: Number(row.live) };
}

/** `431,000 rows`. */
export function describeData(view: DataView): string {
  return `${view.orders.toLocaleString('en-US')} rows`;
}
