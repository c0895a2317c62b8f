/** Follows a run step by step by polling `pgr show --json`. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { RunView } from '../shared/contracts/status.js';
import type { Pgr } from './quickstart-pgr.js';

/** `pgr show --json`. */
export type RunDocument = RunView;

const POLL_MS = 400;
const ENDED = ['completed', 'rejected', 'aborted', 'failed'];

/**
 * Prints each step as it ends; returns when the run has ended or has one of the wanted statuses.
 * A run that needs attention ends the quickstart: it says what to do.
 */
export async function followRun(
  pgr: Pgr,
  run: string,
  until: string[],
  say: (line: string) => void,
): Promise<RunDocument> {
  const told = new Set<string>();
  for (;;) {
    const view = await pgr.json<RunDocument>(['show', run]);
    for (const step of view.steps) {
      if (step.status !== 'done' || told.has(step.id)) continue;
      told.add(step.id);
      say(`  done  ${step.title}${secondsOf(step)}`);
    }
    if (until.includes(view.status) || ENDED.includes(view.status)) return view;
    if (view.status === 'needs-attention') {
      throw new Error(
        `${view.failure?.message ?? 'the run needs attention'} (${view.failure?.hint ?? `bin/pgr show ${run}`})`,
      );
    }
    await sleep(POLL_MS);
  }
}

/** The child that promotes, once the approved run has started it; the run itself when it ended without one. */
export async function promotionOf(pgr: Pgr, run: string): Promise<string> {
  for (;;) {
    const view = await pgr.json<RunDocument>(['show', run]);
    if (view.child !== null) return view.child;
    if (ENDED.includes(view.status) || view.status === 'needs-attention') return run;
    await sleep(POLL_MS);
  }
}

function secondsOf(step: { startedAt: string | null; endedAt: string | null }): string {
  if (step.startedAt === null || step.endedAt === null) return '';
  return `  ${((Date.parse(step.endedAt) - Date.parse(step.startedAt)) / 1000).toFixed(1)} s`;
}
