/** What a report says of the restore of a dump. Pure. */
import type { DumpPlan, DumpResult } from '../../shared/contracts/dump.js';
import { codeSpan } from '../../shared/markdown.js';
import { plainText } from './markdown.js';
import { formatDuration } from './text.js';

/** A dump ends where it began: nothing that was committed later is in it. */
export function dumpLostLines({ lost, dump }: DumpPlan, isProduction: boolean): string[] {
  const until =
    lost.until === null || lost.seconds === null
      ? `until when is not known: ${plainText(lost.untilFrom)}`
      : `${formatDuration(lost.seconds)} until ${plainText(lost.until)} (${plainText(lost.untilFrom)})`;
  const doubt = {
    archive: 'written in the dump, read as UTC',
    file: 'when its file was written',
    now: 'taken in this run',
  };
  return [
    isProduction
      ? '- Production is another cluster now; what the old one held is in its kept data and in its own archive.'
      : '- Production was not replaced by this run.',
    `- Not in the dump: everything committed after ${plainText(lost.since)} (${doubt[dump.takenAtFrom]}), ${until}.`,
  ];
}

/** Where the restored cluster is. */
export function dumpCopies({ outcome, sandbox, ref }: DumpResult): string[] {
  if (outcome === 'promoted') return [];
  const host = plainText(ref.host);
  return outcome === 'kept'
    ? [`- sandbox ${codeSpan(sandbox.url)} on ${host}, kept until ${plainText(sandbox.expiresAt)}`]
    : [`- ${codeSpan(sandbox.dataDir)} on ${host}: stopped, flushed, dropped by nobody`];
}

/** What is left to do by hand. */
export function dumpFollowUps({ outcome, commands, plan, sandbox }: DumpResult, run: string): string[] {
  if (outcome === 'kept') {
    return [
      `- [ ] Look at it: ${codeSpan(sandbox.url)}`,
      `- [ ] Or drop it: ${codeSpan(`pgr discard ${run}`)}; it is dropped by itself at ${plainText(sandbox.expiresAt)}`,
    ];
  }
  return [
    ...commands.map((line) => `- [ ] ${line.startsWith('#') ? plainText(line.slice(2)) : codeSpan(line)}`),
    '- [ ] Run the smoke queries of the application against the restored database.',
    `- [ ] Tell users: what they did since ${plainText(plan.lost.since)} is not there any more.`,
    '- [ ] Reconcile outside systems (payments, mail, webhooks, search, analytics) with ids that do not exist any more.',
    '- [ ] Replication slots, publications and subscriptions are not in a dump: make them anew.',
  ];
}
