/**
 * All updates, signals and queries. Their names are history: never rename one. Descriptions show in the Temporal Web UI beside the
 * handler, and are the only guidance there: each carries a JSON example to copy.
 */
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';

import type { Decision, DecisionOutcome } from '../shared/contracts/decisions.js';
import type { Notice } from '../shared/contracts/notices.js';
import type { RunView } from '../shared/contracts/status.js';

export type SignalDecision = Omit<Decision, 'decision'>;
export type CommandInput = { by: string; reason?: string };
export type CommandOutcome = { accepted: boolean; why: string | null };

export const decideUpdate = defineUpdate<DecisionOutcome, [Decision]>('decide');
export const approveSignal = defineSignal<[SignalDecision]>('approve');
export const rejectSignal = defineSignal<[SignalDecision]>('reject');

export const retryUpdate = defineUpdate<CommandOutcome, [CommandInput]>('retry');
export const skipUpdate = defineUpdate<CommandOutcome, [CommandInput]>('skip');
export const abortUpdate = defineUpdate<CommandOutcome, [CommandInput]>('abort');
/** For the keeper of a kept sandbox. */
export const discardUpdate = defineUpdate<CommandOutcome, [CommandInput]>('discard');

/** Of the workflow that tells people: notices of its run. */
export const noticeSignal = defineSignal<[Notice[]]>('notice');

export const statusQuery = defineQuery<RunView>('status');

const SIGNAL_EXAMPLE = '{"gate":"promote","code":"K7QF2M","by":"YOUR NAME","comment":""}';

/** What the Web UI shows beside each handler. */
export const DESCRIPTIONS = {
  decide: `Approve or reject the open gate; answers whether it counted. Example: {"gate":"promote","code":"K7QF2M","by":"YOUR NAME","decision":"approve","comment":""}`,
  approve: `Approve the open gate (name and code stand under User Metadata). Example: ${SIGNAL_EXAMPLE}`,
  reject: `Reject the open gate (name and code stand under User Metadata). Example: ${SIGNAL_EXAMPLE}`,
  retry: 'Try the failed step again. Example: {"by":"YOUR NAME","reason":"disk freed"}',
  skip: 'Go on without the failed step, where that is offered. Example: {"by":"YOUR NAME","reason":"standby host is gone"}',
  abort: 'Stop and put back what was changed. Example: {"by":"YOUR NAME","reason":"wrong target"}',
  discard: 'Drop the kept sandbox now. Example: {"by":"YOUR NAME","reason":"not needed"}',
  status: 'Where the run is, as `pgr show --json` prints it.',
} as const;
