import type { ListSnapshotsResult } from '../../shared/contracts/runs.js';
import { shortRunId } from '../../shared/ids.js';
import { renderTable } from './table.js';
import { formatBytes, formatTime, relativeTo, shellWord } from './text.js';

/** `pgr snapshots list`: one row per copy. The name comes last, because it is long. Pure. */
export function renderSnapshots(env: string, { copies, unanswered }: ListSnapshotsResult, now: Date): string {
  if (copies.length === 0 && unanswered.length === 0) return 'no safety copies\n';
  const rows = copies.map((copy) => [
    copy.node,
    copy.provider,
    `${formatTime(copy.createdAt)} ${relativeTo(copy.createdAt, now)}`,
    copy.bytes === null ? '?' : formatBytes(copy.bytes),
    copy.verified ? 'verified' : 'NOT VERIFIED',
    copy.name,
  ]);
  const table = renderTable(['NODE', 'KIND', 'MADE', 'SIZE', 'STATE', 'NAME'], rows);
  const undo = copies.at(-1);
  const name = undo === undefined ? '' : shellWord(`${undo.run}@${shortRunId(undo.runId)}`);
  return `${table}${undo === undefined ? '' : `\nbring the newest back: pgr undo ${name}\n`}remove old ones:       pgr snapshots prune ${shellWord(env)} --older-than 7d\n`;
}
