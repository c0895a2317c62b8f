/** Which run a text means, and what there is to know of it. */
import type { RecordSummary } from '../shared/contracts/record.js';
import type { RunView } from '../shared/contracts/status.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import type { CliContext } from './context.js';
import { createProgressMeter, withProgress, type ProgressMeter } from './progress.js';
import { viewFromRecord } from './record-view.js';
import { listRecords, readRecord } from './records.js';
import type { ListedRun } from './run-client.js';
import { viewOfTakeBase } from './take-base-view.js';

/** `listed` is set for a run that answers no query because it is no runbook (a base that is taken). */
export type ResolvedRun = { run: string; runId: string; source: 'temporal' | 'record'; listed?: ListedRun };

/** A run with the child runbook that it waits for. */
export type RunFamily = { view: RunView; child: RunView | null };

/** The one run that `text` names: a workflow id or a unique start of one. Throws NotFound, naming the candidates when there are several. */
export async function resolveRun(context: CliContext, text: string): Promise<ResolvedRun> {
  const client = await context.client();
  const found = await client.find(text);
  const [one, ...others] = found;
  if (one !== undefined && others.length === 0) return resolved(one);
  if (one !== undefined) throw ambiguous(text, found);
  const records = await matchingRecords(context, text);
  const [record, ...more] = records;
  if (record === undefined) {
    throw new PgrFailure('NotFound', `there is no run ${text}`, {
      hint: 'neither Temporal nor the record store knows it',
      next: ['pgr runs'],
    });
  }
  if (more.length > 0) throw ambiguous(text, records);
  return { run: record.run, runId: record.runId, source: 'record' };
}

function resolved(one: ListedRun): ResolvedRun {
  const { run, runId, runbook } = one;
  return { run, runId, source: 'temporal', ...(runbook === 'take-base' ? { listed: one } : {}) };
}

function ambiguous(text: string, candidates: readonly { run: string }[]): PgrFailure {
  const names = candidates.slice(0, 5).map(({ run }) => run);
  const more = candidates.length > names.length ? ` and ${String(candidates.length - names.length)} more` : '';
  return new PgrFailure('NotFound', `${text} names ${String(candidates.length)} runs: ${names.join(', ')}${more}`, {
    hint: 'write more of the name',
    next: ['pgr runs'],
  });
}

async function matchingRecords(context: CliContext, text: string): Promise<RecordSummary[]> {
  const [id = '', runId = ''] = text.split('@');
  const records = await listRecords(context, {});
  const matches = (exact: boolean): RecordSummary[] =>
    records.filter(
      (record) => (exact ? record.run === id : record.run.startsWith(id)) && record.runId.startsWith(runId),
    );
  const exact = matches(true);
  // Records come newest first: an id that was used again means its newest execution.
  if (exact.length > 0) return exact.slice(0, 1);
  return matches(false).filter((record, index, all) => all.findIndex(({ run }) => run === record.run) === index);
}

/** The run as it is now, its child included; from the record when Temporal does not know it any more. */
export async function readFamily(
  context: CliContext,
  resolved: ResolvedRun,
  meter: ProgressMeter = createProgressMeter(),
): Promise<RunFamily> {
  const view = await readView(context, resolved, meter);
  if (view.child === null || view.status !== 'running') return { view, child: null };
  const child = await readLiveView(context, view.child, undefined, meter);
  return { view, child };
}

async function readView(context: CliContext, resolved: ResolvedRun, meter: ProgressMeter): Promise<RunView> {
  if (resolved.listed !== undefined) return readTakeBase(context, resolved.listed, meter);
  if (resolved.source === 'temporal') {
    const live = await readLiveView(context, resolved.run, resolved.runId, meter);
    if (live !== null) return live;
  }
  const entries = await readRecord(context, `${resolved.run}@${resolved.runId}`);
  const view = entries === null ? null : viewFromRecord(entries);
  if (view !== null) return view;
  throw new PgrFailure('NotFound', `there is neither a history nor a record of ${resolved.run}`, {
    next: ['pgr runs'],
  });
}

async function readTakeBase(context: CliContext, listed: ListedRun, meter: ProgressMeter): Promise<RunView> {
  const client = await context.client();
  const [now = listed] = await client.find(`${listed.run}@${listed.runId}`);
  const outcome = await client.outcome(listed.run, listed.runId);
  const view = viewOfTakeBase(now, outcome ?? { state: 'open' });
  if (view.status !== 'running') return view;
  return withProgress(view, await client.pending(listed.run, listed.runId), meter, context.now());
}

async function readLiveView(
  context: CliContext,
  run: string,
  runId: string | undefined,
  meter: ProgressMeter,
): Promise<RunView | null> {
  const client = await context.client();
  const view = await client.status(run, runId);
  if (view?.status !== 'running') return view;
  return withProgress(view, await client.pending(run, runId), meter, context.now());
}

/** The view in which something waits for a person: the run itself, or the child that it waits for. */
export function actionable({ view, child }: RunFamily): RunView {
  return child !== null && (child.status === 'waiting-approval' || child.status === 'needs-attention') ? child : view;
}
