/** Rows into a table over the COPY protocol (PostgreSQL docs, "Frontend/Backend Protocol", COPY Operations). */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import type pg from 'pg';

/** What the driver's connection offers for COPY. */
type CopyConnection = {
  stream: Socket;
  query(sql: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  sendCopyFail(message: string): void;
};

/**
 * Sends `rows` to `sql` (a COPY … FROM STDIN) and returns how many the server counted. When the rows break off, the COPY fails on the server and
 * the failure of the rows is thrown.
 */
export async function copyIn(client: pg.Client, sql: string, rows: AsyncIterable<Buffer>): Promise<number> {
  return new Promise<number>((resolve, reject) => {
    client.query(new CopyIn(sql, rows, resolve, reject) as unknown as pg.Submittable);
  });
}

/** The driver hands it the messages of its query. */
class CopyIn {
  readonly #sql: string;
  readonly #rows: AsyncIterable<Buffer>;
  readonly #resolve: (rows: number) => void;
  readonly #reject: (error: unknown) => void;
  #failure: Error | null = null;
  #over = false;
  #count = 0;

  constructor(
    sql: string,
    rows: AsyncIterable<Buffer>,
    resolve: (rows: number) => void,
    reject: (error: unknown) => void,
  ) {
    this.#sql = sql;
    this.#rows = rows;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  submit(connection: CopyConnection): void {
    connection.query(this.#sql);
  }

  handleCopyInResponse(connection: CopyConnection): void {
    void this.#pump(connection);
  }

  handleCommandComplete({ text }: { text?: string }): void {
    this.#count = Number(/^COPY (\d+)$/.exec(text ?? '')?.[1] ?? 0);
  }

  handleError(error: Error): void {
    this.#over = true;
    this.#reject(this.#failure ?? error);
  }

  handleReadyForQuery(): void {
    this.#over = true;
    this.#resolve(this.#count);
  }

  async #pump(connection: CopyConnection): Promise<void> {
    try {
      for await (const piece of this.#rows) {
        if (this.#over) return;
        connection.sendCopyFromChunk(piece);
        if (connection.stream.writableNeedDrain) await drained(connection.stream);
      }
      if (!this.#over) connection.endCopyFrom();
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
      if (!this.#over) connection.sendCopyFail('the rows broke off');
    }
  }
}

/** A connection that dies meanwhile is told to the query by the driver. */
async function drained(stream: Socket): Promise<void> {
  const ended = new AbortController();
  const { signal } = ended;
  await Promise.race([once(stream, 'drain', { signal }), once(stream, 'close', { signal })]).catch(() => undefined);
  ended.abort();
}
