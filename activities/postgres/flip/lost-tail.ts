/** Commits in the WAL of a stopped primary that lie behind a position: what a cut or a failover gives up (invariant 4). */
import path from 'node:path';

import type { NodeConfig } from '../../../config/schema.js';
import type { LostTail } from '../../../shared/contracts/flip.js';
import type { TransactionPoint } from '../../../shared/contracts/plan.js';
import { lsnToBigInt, parseLsn, type Lsn } from '../../../shared/lsn.js';
import { segmentName } from '../../../shared/timeline.js';
import { runProgram } from '../../lib/exec.js';
import { requireControlData } from '../control-data.js';
import { pathExists } from '../data-directory.js';

/** More than these are counted by nobody by hand. */
const MOST_COMMITS = 1_000;
const READ_TIMEOUT_MS = 120_000;

/** Arguments of pg_waldump for everything about transactions from `start` to the end of the WAL. Pure. */
function tailArgs(walDir: string, timeline: number, start: Lsn): string[] {
  return [`--path=${walDir}`, `--timeline=${String(timeline)}`, `--start=${start}`, '--rmgr=Transaction'];
}

/**
 * `exact: false` when the WAL could not be read to its end, or there were too many: then there may be more, and none listed proves nothing.
 * @param from the first byte that the other node does not have
 */
export async function readLostTail(node: NodeConfig, timeline: number, from: string): Promise<LostTail> {
  const start = parseLsn(from);
  if (start === null || start === '0/0') return { commits: [], exact: false };
  const walDir = path.join(node.dataDir, 'pg_wal');
  const { walSegmentBytes } = await requireControlData(node.binDir, node.dataDir);
  // A position at the very end of a segment whose successor was never made: nothing was written behind it.
  const segment = segmentName(timeline, lsnToBigInt(start) / BigInt(walSegmentBytes), walSegmentBytes);
  if (!(await pathExists(path.join(walDir, segment))))
    return { commits: [], exact: lsnToBigInt(start) % BigInt(walSegmentBytes) === 0n };
  const result = await runProgram(path.join(node.binDir, 'pg_waldump'), tailArgs(walDir, timeline, start), {
    timeoutMs: READ_TIMEOUT_MS,
  });
  const commits = parseCommits(result.stdout);
  return { commits: commits.slice(0, MOST_COMMITS), exact: endedAtTheEnd(result) && commits.length <= MOST_COMMITS };
}

/** The end of the WAL is where no valid record follows; pg_waldump calls that an error. Anything else it says is one. */
function endedAtTheEnd(result: { exitCode: number | null; stderr: string; timedOut: boolean }): boolean {
  if (result.timedOut || result.exitCode === null) return false;
  if (result.exitCode === 0) return true;
  return /invalid record length at|could not find a valid record after|invalid magic number 0000|unexpected pageaddr|could not find file|record with incorrect prev-link|out-of-sequence timeline/.test(
    result.stderr,
  );
}

const COMMIT =
  /^rmgr: Transaction .*tx: +(\d+), lsn: ([0-9A-F]+\/[0-9A-F]+), .*desc: COMMIT(?:_PREPARED (\d+):)? (\d{4}-\d\d-\d\d) ([\d:.]+) UTC/;

/** COMMIT records in the output of pg_waldump (zone UTC). Pure. */
export function parseCommits(output: string): TransactionPoint[] {
  return output.split('\n').flatMap((line) => {
    const match = COMMIT.exec(line);
    const lsn = parseLsn(match?.[2] ?? '');
    if (match === null || lsn === null) return [];
    return [{ xid: match[3] ?? match[1] ?? '', lsn, time: `${match[4] ?? ''}T${match[5] ?? ''}Z` }];
  });
}

/** Whether anything at all was written behind `from`: without it the node can follow as it is. */
export async function recordsBehind(
  node: NodeConfig,
  timeline: number,
  from: Lsn,
): Promise<'none' | 'some' | 'unknown'> {
  const walDir = path.join(node.dataDir, 'pg_wal');
  const args = [`--path=${walDir}`, `--timeline=${String(timeline)}`, `--start=${from}`, '--limit=1'];
  const result = await runProgram(path.join(node.binDir, 'pg_waldump'), args, { timeoutMs: READ_TIMEOUT_MS });
  if (/^rmgr: /m.test(result.stdout)) return 'some';
  return endedAtTheEnd(result) ? 'none' : 'unknown';
}
