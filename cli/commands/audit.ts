import type { Command } from 'commander';

import type { RecordEntry } from '../../shared/contracts/record.js';
import { PgrFailure } from '../../shared/pgr-failure.js';
import type { CliContext } from '../context.js';
import { requireEnvironment } from '../environments.js';
import { exportDocument, readExport, verifyExport } from '../audit-export.js';
import { parseDuration } from '../parse.js';
import { listRecords, readRecord, verifyRecords } from '../records.js';
import { renderEntries, renderRecordList, renderVerification, type Verification } from '../render/record.js';
import { resolveRun } from '../runs.js';
import { writeOutput } from '../write-output.js';
import { withExample } from './options.js';

/** A broken record is a finding of a check, like any other. */
const EXIT_BROKEN = 5;

/** `pgr audit list|show|verify|export`. */
export function registerAudit(program: Command, context: CliContext): void {
  const audit = program.command('audit').description('the records of runs: who, why, what, approvals, outcome');
  withExample(
    audit
      .command('list [env]')
      .description('all records, newest first')
      .option('--since <duration>', 'only runs that started this long ago or later'),
    'pgr audit list production --since 90d',
  ).action(async (env: string | undefined, flags: { since?: string }) => list(context, env, flags));
  withExample(
    audit.command('show <run>').description('every entry of the record of a run'),
    'pgr audit show production/pitr/20261121-034200',
  ).action(async (run: string) => {
    const entries = await requireRecord(context, run);
    context.result(exportDocument(entries), () => renderEntries(entries));
  });
  withExample(
    audit
      .command('verify [run]')
      .description('recompute every hash; exit 5 when an entry was edited, cut, added or reordered')
      .option('--file <export>', 'verify an exported file; needs no server'),
    'pgr audit verify',
    'pgr audit verify --file run.json',
  ).action(async (run: string | undefined, flags: { file?: string }) => verify(context, run, flags));
  withExample(
    audit
      .command('export <run>')
      .description('the record of a run as one JSON document')
      .option('--out <file>', 'write it to a file'),
    'pgr audit export production/pitr/20261121-034200 --out run.json',
  ).action(async (run: string, flags: { out?: string }) => {
    const document = { api: 1, ...exportDocument(await requireRecord(context, run)) };
    await writeOutput(context, `${JSON.stringify(document, null, 1)}\n`, flags.out, { run: document.run });
  });
}

async function list(context: CliContext, env: string | undefined, flags: { since?: string }): Promise<void> {
  if (env !== undefined) await requireEnvironment(context, env);
  const sinceSeconds = flags.since === undefined ? null : parseDuration(flags.since, '--since');
  const records = await listRecords(context, {
    ...(env === undefined ? {} : { environment: env }),
    ...(sinceSeconds === null
      ? {}
      : { sinceIso: new Date(context.now().getTime() - sinceSeconds * 1000).toISOString() }),
  });
  context.result({ records }, () => renderRecordList(records));
}

/** The record of the run that `text` names. Throws NotFound. */
export async function requireRecord(context: CliContext, text: string): Promise<RecordEntry[]> {
  const { run, runId } = await resolveRun(context, text);
  const entries = await readRecord(context, `${run}@${runId}`);
  if (entries !== null) return entries;
  throw new PgrFailure('NotFound', `there is no record of ${run}`, { next: ['pgr audit list'] });
}

async function verify(context: CliContext, run: string | undefined, flags: { file?: string }): Promise<void> {
  if (flags.file !== undefined && run !== undefined)
    throw new PgrFailure('BadUsage', 'a run and --file are both given', { hint: 'verify one of them' });
  const result =
    flags.file === undefined ? await verifyStore(context, run) : verifyExport(await readExport(flags.file));
  const ok = result.problems.length === 0;
  if (!ok) context.exit(EXIT_BROKEN);
  context.result({ ok, ...result }, () => renderVerification(result));
}

/** What the store says, joined with what Temporal knows: a record without a result is whole only while its run lives. */
async function verifyStore(context: CliContext, run: string | undefined): Promise<Verification> {
  const named = run === undefined ? undefined : await resolveRun(context, run);
  const report = await verifyRecords(context, named === undefined ? undefined : `${named.run}@${named.runId}`);
  if (named !== undefined && report.records === 0)
    throw new PgrFailure('NotFound', `there is no record of ${named.run}`, { next: ['pgr audit list'] });
  const client = await context.client();
  const cut = await Promise.all(
    report.unfinished.map(async ({ run: id, runId, entries }) => {
      const outcome = await client.outcome(id, runId);
      return outcome?.state === 'open'
        ? []
        : [{ run: id, seq: entries, problem: 'the run is over and no result closes its record: its end is missing' }];
    }),
  );
  return { records: report.records, entries: report.entries, problems: [...report.problems, ...cut.flat()] };
}
