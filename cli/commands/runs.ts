import type { Command } from 'commander';

import type { RecordSummary } from '../../shared/contracts/record.js';
import { ALL_RUNBOOKS } from '../../shared/all-runbooks.js';
import { ORCHESTRATOR_QUEUE } from '../../shared/ids.js';
import { PgrFailure } from '../../shared/pgr-failure.js';
import type { CliContext } from '../context.js';
import { requireEnvironment } from '../environments.js';
import { parseDuration } from '../parse.js';
import { listRecords } from '../records.js';
import { renderTable } from '../render/table.js';
import { formatDuration, formatTime, secondsBetweenIso } from '../render/text.js';
import type { ListedRun } from '../run-client.js';
import { withExample } from './options.js';

type RunsFlags = { status?: string; since?: string };

const STATUSES = ['running', 'waiting-approval', 'needs-attention', 'completed', 'rejected', 'aborted', 'failed'];
const OPEN_STATUSES = STATUSES.slice(0, 3);

/** `pgr runs`. */
export function registerRuns(program: Command, context: CliContext): void {
  const command = program
    .command('runs [env]')
    .description('past and present runs, newest first')
    .option('--status <status>', `only ${STATUSES.join(', ')}; "open" for the first three`)
    .option('--since <duration>', 'only those that started this long ago or later');
  withExample(command, 'pgr runs production --since 7d', 'pgr runs --status open').action(
    async (env: string | undefined, flags: RunsFlags) => runs(context, env, flags),
  );
}

async function runs(context: CliContext, env: string | undefined, flags: RunsFlags): Promise<void> {
  const wanted = statusesOf(flags.status);
  const sinceIso =
    flags.since === undefined
      ? undefined
      : new Date(context.now().getTime() - parseDuration(flags.since, '--since') * 1000).toISOString();
  if (env !== undefined) await requireEnvironment(context, env);
  const filter = {
    ...(env === undefined ? {} : { environment: env }),
    ...(sinceIso === undefined ? {} : { sinceIso }),
  };
  const client = await context.client();
  const [live, records] = await Promise.all([
    client.list(filter),
    wanted?.every((status) => OPEN_STATUSES.includes(status)) === true ? [] : forgottenRuns(context, filter),
  ]);
  const known = new Set(live.map(({ runId }) => runId));
  const all = [...live, ...records.filter(({ runId }) => !known.has(runId))]
    .filter(({ status }) => wanted === null || wanted.includes(status))
    .sort((a, b) => (a.startedAt < b.startedAt ? 1 : -1));
  context.result({ runs: all }, () => renderRuns(all, context.now()));
}

function statusesOf(status: string | undefined): string[] | null {
  if (status === undefined) return null;
  if (status === 'open') return OPEN_STATUSES;
  if (STATUSES.includes(status)) return [status];
  throw new PgrFailure('BadUsage', `--status ${status}: there is no such status`, {
    hint: `it is one of ${STATUSES.join(', ')} or open`,
  });
}

/** Runs that only the record store still knows. Without a worker nobody can ask it, which is said and not hidden. */
async function forgottenRuns(
  context: CliContext,
  filter: { environment?: string; sinceIso?: string },
): Promise<ListedRun[]> {
  const client = await context.client();
  if (!(await client.hasWorker(ORCHESTRATOR_QUEUE))) {
    context.io.err('no worker answers, so older runs that only the record knows are not listed\n');
    return [];
  }
  const records = await listRecords(context, filter).catch((error: unknown) => {
    context.io.err(`the records cannot be read: ${error instanceof Error ? error.message : String(error)}\n`);
    return [];
  });
  return records.filter(({ runbook }) => ALL_RUNBOOKS.some(({ name }) => name === runbook)).map(fromRecord);
}

function fromRecord(record: RecordSummary): ListedRun {
  const { run, runId, runbook, environment, requestedBy, reason, startedAt, endedAt } = record;
  // Temporal does not know it: without a result it did not end by itself.
  const status = record.status ?? 'aborted';
  const rest = { step: null, target: null, open: false };
  return { run, runId, runbook, environment, status, requestedBy, reason, startedAt, endedAt, ...rest };
}

function renderRuns(all: readonly ListedRun[], now: Date): string {
  if (all.length === 0) return 'no runs\n';
  const rows = all.map((run) => [
    run.run,
    run.runbook,
    run.status,
    formatTime(run.startedAt),
    formatDuration(secondsBetweenIso(run.startedAt, run.endedAt ?? now.toISOString()) ?? 0),
    run.target ?? '',
    run.requestedBy ?? '',
  ]);
  return renderTable(['RUN', 'RUNBOOK', 'STATUS', 'STARTED', 'TOOK', 'TARGET', 'BY'], rows);
}
