import type { RunStatus, RunView } from '../shared/contracts/status.js';
import { viewOfError } from './error-output.js';
import type { ListedRun, RunOutcome } from './run-client.js';

/** A base that is taken has no runbook and answers no query: its one step is read from the execution itself. Pure. */
export function viewOfTakeBase(run: ListedRun, outcome: RunOutcome): RunView {
  const status: RunStatus = outcome.state === 'open' ? 'running' : outcome.state;
  const { code, message, hint } = viewOfError(outcome.state === 'failed' ? outcome.error : null);
  const step = {
    id: 'take-base',
    title: 'Take a base into the backup store',
    status: status === 'running' ? 'running' : status === 'completed' ? 'done' : 'failed',
    startedAt: run.startedAt,
    endedAt: run.endedAt,
    attempts: 1,
  } as const;
  return {
    run: run.run,
    runId: run.runId,
    environment: run.environment,
    runbook: 'take-base',
    requestedBy: run.requestedBy ?? '',
    reason: run.reason ?? '',
    status,
    startedAt: run.startedAt,
    endedAt: run.endedAt,
    steps: [step],
    plan: null,
    gate: null,
    decisions: [],
    sandbox: null,
    measured: {},
    failure: outcome.state === 'failed' ? { step: step.id, code, message, hint, choices: [] } : null,
    child: null,
  };
}
