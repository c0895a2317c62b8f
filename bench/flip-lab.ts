/** The lab on which flips are measured. */
import pg from 'pg';

export type FlipLab = {
  pgr: (...args: string[]) => Promise<unknown>;
  /** Through the pooler, and around it through the write VIP. */
  pooledUrl: string;
  vipUrl: string;
  nodes: { name: string; url: string; port: number; dataDir: string; role: string }[];
  binDir: string;
};

/** Rows of one statement. */
export async function query<Row extends pg.QueryResultRow>(url: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}
