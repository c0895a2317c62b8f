/** The ways that a lab with HAProxy and PgBouncer can go. */
import { setTimeout as sleep } from 'node:timers/promises';

import { flipByHand } from './flip-by-hand.js';
import { readLab, until, type Pgr } from './flip-lab.js';
import type { Way } from './flip-measure.js';

/** Every way that the lab itself can go, by letter. */
export function labWays(pgr: Pgr): Record<string, Way> {
  const pooled = async (): Promise<string> => (await readLab(pgr)).pooledUrl;
  const around = async (): Promise<string> => (await readLab(pgr)).vipUrl;
  return {
    p: { name: 'pgr, through the pooler', url: pooled, flip: () => flipWithPgr(pgr, 'stop') },
    q: { name: 'pgr --mode cut, through the pooler', url: pooled, flip: () => flipWithPgr(pgr, 'cut') },
    a: { name: 'pgr, around the pooler', url: around, flip: () => flipWithPgr(pgr, 'stop') },
    b: { name: 'pgr --mode cut, around the pooler', url: around, flip: () => flipWithPgr(pgr, 'cut') },
    h: { name: 'by hand, HAProxy follows', url: around, flip: async () => flipByHand(await readLab(pgr)) },
  };
}

/** Nobody looks during the flip: each look starts a program that has one of the machine's processors for half a second. */
const UNWATCHED_MS = 4_000;

type View = {
  status: string;
  gate: { name: string; code: string } | null;
  steps: { id: string; startedAt: string | null; endedAt: string | null }[];
  failure: { message: string } | null;
};

/** From the decision at the gate to the end of the flip, in ms. */
async function flipWithPgr(pgr: Pgr, mode: 'stop' | 'cut'): Promise<number> {
  const { run } = (await pgr('flip-db', 'lab', '--mode', mode)) as { run: string };
  const gate = await until(async () => ((await pgr('show', run)) as View).gate);
  const decidedAt = Date.now();
  await pgr('approve', run, gate.name, '--code', gate.code);
  await sleep(UNWATCHED_MS);
  const view = await until(async () => {
    const seen = (await pgr('show', run)) as View;
    if (['needs-attention', 'failed', 'aborted'].includes(seen.status)) throw new Error(seen.failure?.message);
    return seen.status === 'completed' ? seen : null;
  });
  const ended = view.steps.find(({ id }) => id === 'flip')?.endedAt ?? '';
  return Date.parse(ended) - decidedAt;
}
