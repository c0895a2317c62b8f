/** Records as the command line reads them: through the workflow `audit`, which is the only way to the store. */
import type { ReadRecordResult, RecordEntry, RecordSummary, VerifyRecordsResult } from '../shared/contracts/record.js';
import type { AuditInput, AuditResult } from '../shared/contracts/runs.js';
import { compactUtc } from '../shared/ids.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import type { CliContext } from './context.js';
import { uniqueSuffix } from './unique-suffix.js';

const DEADLINE_MS = 30_000;

export async function listRecords(
  context: CliContext,
  filter: { environment?: string; sinceIso?: string },
): Promise<RecordSummary[]> {
  const answer = await ask(context, { action: 'list', ...filter });
  return answer.action === 'list' ? answer.records : [];
}

/** Entries of the newest record of `run` (or of `run@start of its run id`), null when there is none. */
export async function readRecord(context: CliContext, run: string): Promise<RecordEntry[] | null> {
  const answer = await ask(context, { action: 'read', run });
  const record: ReadRecordResult = answer.action === 'read' ? answer.record : { outcome: 'none' };
  return record.outcome === 'found' ? record.entries : null;
}

export async function verifyRecords(context: CliContext, run?: string): Promise<VerifyRecordsResult> {
  const answer = await ask(context, run === undefined ? { action: 'verify' } : { action: 'verify', run });
  if (answer.action === 'verify') return answer.report;
  throw new PgrFailure('Bug', 'the workflow audit answered another question');
}

async function ask(context: CliContext, input: AuditInput): Promise<AuditResult> {
  const client = await context.client();
  const answer = await client.execute(
    {
      workflow: 'audit',
      id: `audit/${compactUtc(context.now().toISOString())}-${uniqueSuffix()}`,
      input,
      environment: (input.action === 'list' ? input.environment : undefined) ?? '',
      requestedBy: 'pgr',
      reason: '',
      summary: `audit ${input.action}`,
    },
    DEADLINE_MS,
  );
  return answer as AuditResult;
}
