import type { VerifySandboxResult } from '../../shared/contracts/sandbox.js';
import { runFailure } from './failures.js';
import type { Run } from './run.js';

/** Evidence that does not hold never reaches a gate: throws EvidenceFailed with what was expected and what was there. */
export function requireGood<Id extends string>(run: Run<Id>, { ok, checks }: VerifySandboxResult): void {
  if (ok) return;
  const bad = checks.filter((check) => !check.ok);
  run.note('evidence failed', checks);
  const texts = bad.map((check) => `${check.check}: expected ${check.expected}, found ${check.actual}`);
  throw runFailure('EvidenceFailed', texts.length === 0 ? 'the checks as a whole did not pass' : texts.join('; '), {
    next: [`pgr show ${run.view.run}`],
  });
}
