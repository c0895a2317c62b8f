/**
 * Keeps a sandbox until its time has passed or a person drops it (update `discard`). It never drops what is being promoted: the host
 * refuses that, and the keeper then ends. It never fails either: a host that is away is asked again later.
 */
import {
  allHandlersFinished,
  CancellationScope,
  condition,
  setCurrentDetails,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';

import type { SandboxKeeperInput } from '../shared/contracts/runs.js';
import type { DiscardSandboxResult, SandboxState } from '../shared/contracts/sandbox.js';
import { readCommand } from '../shared/gate-policy.js';
import { codeSpan, escapeMarkdown } from '../shared/markdown.js';
import { onHost } from './lib/activity-proxies.js';
import { readFailure } from './lib/failures.js';
import { rawUpdate, readPayload } from './lib/raw-payload.js';
import { createRecorder, type Recorder } from './lib/recorder.js';
import { DESCRIPTIONS, discardUpdate, type CommandOutcome } from './messages.js';

export type SandboxKeeperResult =
  { outcome: 'discarded'; result: DiscardSandboxResult } | { outcome: 'not-ours-any-more'; state: SandboxState };

/** A host or a record store that is away is asked again after this time. */
const ASK_AGAIN = '10 minutes';

/** States in which the sandbox is somebody else's. */
const HANDED_OVER: readonly SandboxState[] = ['promoting', 'promoted', 'handed-over', 'discarded'];

export async function sandboxKeeper(input: SandboxKeeperInput): Promise<SandboxKeeperResult> {
  const { workflowId, runId } = workflowInfo();
  const recorder = createRecorder(input.ref.environment, workflowId, runId);
  const signs = { discard: false, look: false };
  setHandler(
    rawUpdate(discardUpdate),
    (raw): CommandOutcome => {
      const { by, reason, problem } = readCommand(readPayload(raw), false);
      if (problem !== null) return { accepted: false, why: problem };
      recorder.push({ kind: 'command', command: 'discard', by, reason });
      signs.discard = true;
      return { accepted: true, why: null };
    },
    { description: DESCRIPTIONS.discard },
  );
  CancellationScope.current().cancelRequested.catch(() => (signs.look = true));
  return CancellationScope.nonCancellable(() => keep(input, recorder, signs));
}

async function keep(
  input: SandboxKeeperInput,
  recorder: Recorder,
  signs: { discard: boolean; look: boolean },
): Promise<SandboxKeeperResult> {
  const { ref, expiresAt, requestedBy } = input;
  setCurrentDetails(
    `## Sandbox ${codeSpan(ref.sandbox)} on ${escapeMarkdown(ref.host)}\n\n- kept until ${escapeMarkdown(expiresAt)}\n- drop it now: ${codeSpan(`pgr discard ${ref.run}`)}`,
  );
  recorder.push({
    kind: 'run-started',
    runbook: 'sandbox-keeper',
    environment: ref.environment,
    requestedBy,
    reason: `kept by ${ref.run} until ${expiresAt}`,
    input,
  });
  for (;;) {
    const leftMs = Math.max(1, Date.parse(expiresAt) - Date.now());
    const signalled = await condition(() => signs.discard || signs.look, leftMs, {
      summary: `sandbox ${ref.sandbox} expires`,
    });
    const result = signalled && !signs.discard ? await lookAt(input) : await drop(input, recorder);
    signs.look = false;
    if (result === null) continue;
    recorder.push({ kind: 'result', status: 'completed', result });
    recorder.close();
    await recorder.flush().catch(() => undefined);
    await condition(allHandlersFinished);
    return result;
  }
}

/** Null while the sandbox is there and nobody else's. */
async function lookAt({ ref }: SandboxKeeperInput): Promise<SandboxKeeperResult | null> {
  try {
    const { state } = await onHost(ref.host).readSandbox({ ref });
    return HANDED_OVER.includes(state) ? { outcome: 'not-ours-any-more', state } : null;
  } catch {
    return null;
  }
}

/** Null when it could not be dropped now. The record comes first. */
async function drop(input: SandboxKeeperInput, recorder: Recorder): Promise<SandboxKeeperResult | null> {
  try {
    await recorder.flush();
    const result = await onHost(input.ref.host).discardSandbox({ ref: input.ref });
    return { outcome: 'discarded', result };
  } catch (error) {
    const handedOver = await lookAt(input);
    if (handedOver !== null) return handedOver;
    const { code, message } = readFailure(error);
    recorder.push({ kind: 'note', text: `sandbox ${input.ref.sandbox} could not be dropped: ${code}: ${message}` });
    await sleep(ASK_AGAIN, { summary: `try again to drop sandbox ${input.ref.sandbox}` });
    return null;
  }
}
