import type { RecordEntryBody } from '../../shared/contracts/record.js';
import { formatDuration, formatTime, oneLine } from './text.js';

/** One entry of a record in a line. Pure. */
export function describeEntry(body: RecordEntryBody): string {
  return oneLine(describeRun(body) ?? describeStep(body) ?? describeGate(body) ?? '');
}

function describeRun(body: RecordEntryBody): string | null {
  switch (body.kind) {
    case 'run-started':
      return `${body.runbook} of ${body.environment}, asked for by ${body.requestedBy}: ${body.reason}`;
    case 'plan':
      return `plan ${body.hash.slice(0, 12)}`;
    case 'command':
      return `${body.command} by ${body.by}: ${body.reason}`;
    case 'note':
      return body.text;
    case 'result':
      return `ended ${body.status}`;
    default:
      return null;
  }
}

function describeStep(body: RecordEntryBody): string | null {
  switch (body.kind) {
    case 'step-started':
      return `${body.title}${body.attempt > 1 ? ` (attempt ${String(body.attempt)})` : ''}`;
    case 'step-done':
      return `${body.step} took ${formatDuration(body.seconds)}`;
    case 'step-skipped':
      return `${body.step} skipped by ${body.by}: ${body.reason}`;
    case 'step-failed':
      return `${body.step}: ${body.code}: ${body.message}`;
    case 'undo-started':
      return `putting back: ${body.title}`;
    case 'undo-done':
      return `${body.step} put back`;
    case 'undo-failed':
      return `${body.step} could not be put back: ${body.message}`;
    default:
      return null;
  }
}

function describeGate(body: RecordEntryBody): string | null {
  switch (body.kind) {
    case 'gate-opened':
      return `gate ${body.gate} opened with code ${body.code} until ${formatTime(body.expiresAt)}`;
    case 'gate-reminder':
      return `gate ${body.gate} waits for ${formatDuration(body.waitedSeconds)}`;
    case 'gate-expired':
      return `gate ${body.gate} expired`;
    case 'gate-closed':
      return `gate ${body.gate} ${body.outcome}`;
    case 'decision': {
      const outcome = body.counted ? 'counted' : `refused: ${body.why ?? 'no reason given'}`;
      return `${body.decision} of ${body.gate} by ${body.by} (${body.identity}, ${body.entry}), ${outcome}${body.comment === '' ? '' : `: ${body.comment}`}`;
    }
    default:
      return null;
  }
}
