/** One flip as a client sees it, whoever flips. */
import { startClient } from './flip-client.js';
import { query, until } from './flip-lab.js';

export type Seen = { outageMs: number; errors: number; lost: number; decisionToEndMs: number | null };

export type Way = {
  name: string;
  /** Where the client writes. */
  url: () => Promise<string>;
  /** Moves the writes; ms from the decision to the end, null where there is no decision to measure from. */
  flip: () => Promise<number | null>;
};

/** Rows that are acknowledged before the flip begins, and after it before the outage counts as over. */
const ROWS_AROUND = 20;

/** Measures one flip with a client that writes from id `firstId` on. */
export async function measureFlip(way: Way, firstId: number): Promise<{ seen: Seen; lastId: number }> {
  const url = await way.url();
  const client = startClient(url, firstId);
  const writes = (): Promise<true> => {
    const before = client.acknowledged();
    return until(() => Promise.resolve(client.acknowledged() > before + ROWS_AROUND ? true : null));
  };
  const flipped = await writes()
    .then(async () => {
      const decisionToEndMs = await way.flip();
      // An outage that has not ended would not be counted.
      await writes();
      return { decisionToEndMs };
    })
    .catch((error: unknown) => ({ error }));
  const report = await client.stop();
  if ('error' in flipped) throw flipped.error;
  const found = await query<{ id: string }>(url, `select id::text from flip_bench where id >= ${String(firstId)}`);
  const present = new Set(found.map(({ id }) => Number(id)));
  const lost = report.acknowledged.filter((id) => !present.has(id)).length;
  const { decisionToEndMs } = flipped;
  const seen = { outageMs: Math.round(report.outageMs), errors: report.errors, lost, decisionToEndMs };
  return { seen, lastId: report.acknowledged.at(-1) ?? firstId };
}
