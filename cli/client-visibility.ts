/** Lists of runs from Temporal's visibility store. */
import type { Client, WorkflowExecutionInfo } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';

import { isUnknownRun } from './client-errors.js';
import type { ListedRun } from './run-client.js';

/** Workflows that are runs for people, with the name of their runbook; reads (window, check, audit …) and keepers are not listed. */
const RUNBOOK_OF: Readonly<Record<string, string>> = {
  pitr: 'pitr',
  promote: 'promote',
  restoreDump: 'restore-dump',
  restoreDev: 'restore-dev',
  restoreController: 'restore-controller',
  undo: 'undo',
  takeBase: 'take-base',
  flipDb: 'flip-db',
  rebuildStandby: 'rebuild-standby',
  undoRebuild: 'undo-rebuild',
  pruneSnapshots: 'prune-snapshots',
};
const LIMIT = 500;
const SEARCH_ATTRIBUTES = ['PgrEnvironment', 'PgrStep', 'PgrStatus', 'PgrTarget'] as const;

/** Runs that `text` may mean: a workflow id, the start of one, `id@start of run id`, or a run id. */
export async function findRuns(client: Client, text: string): Promise<ListedRun[]> {
  const [id = '', runId = ''] = text.split('@');
  if (runId === '') {
    const exact = await describe(client, id);
    if (exact !== null) return [exact];
  }
  const condition = runId === '' ? `WorkflowId STARTS_WITH ${quote(id)}` : `WorkflowId = ${quote(id)}`;
  const found = await collect(client, `${ofRunTypes()} AND ${condition}`, LIMIT);
  if (runId !== '') return found.filter((run) => run.runId.startsWith(runId));
  if (found.length > 0 || !/^[0-9a-f-]{36}$/.test(id)) return newestOfEach(found);
  return collect(client, `RunId = ${quote(id)}`, 1);
}

/** Newest first. */
export async function listRuns(
  client: Client,
  filter: { environment?: string; sinceIso?: string; limit?: number },
): Promise<ListedRun[]> {
  const conditions = [ofRunTypes()];
  if (filter.environment !== undefined) conditions.push(`WorkflowId STARTS_WITH ${quote(`${filter.environment}/`)}`);
  if (filter.sinceIso !== undefined) conditions.push(`StartTime >= ${quote(filter.sinceIso)}`);
  return collect(client, conditions.join(' AND '), filter.limit ?? LIMIT);
}

function ofRunTypes(): string {
  return `WorkflowType IN (${Object.keys(RUNBOOK_OF).map(quote).join(', ')})`;
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '').replaceAll("'", "''")}'`;
}

async function describe(client: Client, id: string): Promise<ListedRun | null> {
  try {
    return toListedRun(await client.workflow.getHandle(id).describe());
  } catch (error) {
    if (isUnknownRun(error)) return null;
    throw error;
  }
}

async function collect(client: Client, query: string, limit: number): Promise<ListedRun[]> {
  const runs: ListedRun[] = [];
  for await (const info of client.workflow.list({ query, pageSize: Math.min(limit, 100) })) {
    runs.push(toListedRun(info));
    if (runs.length >= limit) break;
  }
  return runs.sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
}

/** An id that was used again (`<env>/change`) means its newest execution. */
function newestOfEach(runs: ListedRun[]): ListedRun[] {
  return runs.filter((run, index) => runs.findIndex((other) => other.run === run.run) === index);
}

type Listable = Pick<
  WorkflowExecutionInfo,
  'type' | 'workflowId' | 'runId' | 'status' | 'startTime' | 'closeTime' | 'memo' | 'typedSearchAttributes'
>;

function toListedRun(info: Listable): ListedRun {
  const [environment, step, status, target] = SEARCH_ATTRIBUTES.map(
    (name) => info.typedSearchAttributes.get(defineSearchAttributeKey(name, SearchAttributeType.KEYWORD)) ?? null,
  );
  const open = info.status.name === 'RUNNING' || info.status.name === 'PAUSED';
  return {
    run: info.workflowId,
    runId: info.runId,
    runbook: RUNBOOK_OF[info.type] ?? info.type,
    environment: environment ?? info.workflowId.split('/')[0] ?? '',
    status: statusOf(info.status.name, status ?? null, open),
    step: step ?? null,
    target: target ?? null,
    requestedBy: memoText(info.memo, 'requestedBy'),
    reason: memoText(info.memo, 'reason'),
    startedAt: info.startTime.toISOString(),
    endedAt: info.closeTime?.toISOString() ?? null,
    open,
  };
}

const LIVE = ['running', 'waiting-approval', 'needs-attention'];
const CLOSED: Readonly<Record<string, string>> = {
  COMPLETED: 'completed',
  CANCELLED: 'aborted',
  TERMINATED: 'aborted',
};

/** What the engine wrote last, unless the execution was ended from outside and could not write any more. */
function statusOf(execution: string, written: string | null, open: boolean): string {
  if (open) return written ?? 'running';
  if (written !== null && !LIVE.includes(written)) return written;
  return CLOSED[execution] ?? 'failed';
}

function memoText(memo: Record<string, unknown> | undefined, name: string): string | null {
  const value = memo?.[name];
  return typeof value === 'string' && value !== '' ? value : null;
}
