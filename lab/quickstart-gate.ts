/** The gate of the quickstart: evidence, the three ways to approve, and the decision by a key press here. */
import { userInfo } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

import type { RunDocument } from './quickstart-follow.js';
import type { Pgr } from './quickstart-pgr.js';

const POLL_MS = 500;

/** Lines that show evidence and how to decide. */
export function explainGate(view: RunDocument, ui: string): string[] {
  const gate = view.gate;
  if (!gate) return ['no gate is open'];
  const boundary = view.plan?.boundary;
  return [
    ...(boundary?.kept
      ? [`last transaction kept:    ${boundary.kept.xid} at ${boundary.kept.time} (${boundary.kept.lsn})`]
      : []),
    ...(boundary?.dropped
      ? [`first transaction dropped: ${boundary.dropped.xid} at ${boundary.dropped.time} (${boundary.dropped.lsn})`]
      : []),
    ...gate.evidence.map((row) => `  ${row.ok ? 'ok  ' : 'BAD '} ${row.check}: ${row.actual}`),
    '',
    'Three ways to approve:',
    `  Temporal UI   ${ui}  (More Actions > Send a Signal > approve)`,
    `                ${JSON.stringify({ gate: gate.name, code: gate.code, by: 'your name' })}`,
    `  command line  bin/pgr approve ${view.run} ${gate.name} --code ${gate.code}`,
    '  here          press a to approve, r to reject',
  ];
}

/** Waits until the gate is decided, by whichever way; decides itself through the command line when nobody can press a key. */
export async function waitForDecision(
  pgr: Pgr,
  view: RunDocument,
  unattended: boolean,
  say: (line: string) => void,
): Promise<'approved' | 'rejected'> {
  const gate = view.gate;
  if (!gate) return 'approved';
  const decide = (verb: 'approve' | 'reject'): Promise<unknown> =>
    pgr.json([verb, view.run, gate.name, '--code', gate.code, '--by', userInfo().username, '--comment', 'quickstart']);
  if (unattended) {
    say('\nno terminal (or --yes): the decision is sent through the command line, as above');
    await decide('approve');
    return 'approved';
  }
  const keys = readKeys();
  try {
    for (;;) {
      const key = keys.next();
      if (key === 'a' || key === 'r') await decide(key === 'a' ? 'approve' : 'reject');
      if (key === '\u0003') throw new Error(`left at the gate; the run waits: bin/pgr show ${view.run}`);
      const now = await pgr.json<RunDocument>(['show', view.run]);
      if (now.status === 'rejected') return 'rejected';
      if (now.gate === null) return 'approved';
      await sleep(POLL_MS);
    }
  } finally {
    keys.close();
  }
}

function readKeys(): { next(): string | undefined; close(): void } {
  const pressed: string[] = [];
  const onData = (data: Buffer): void => void pressed.push(...Array.from(data.toString('utf8')));
  process.stdin.setRawMode(true);
  process.stdin.on('data', onData);
  process.stdin.resume();
  return {
    next: () => pressed.shift(),
    close: () => {
      process.stdin.off('data', onData);
      process.stdin.setRawMode(false);
      process.stdin.pause();
    },
  };
}
