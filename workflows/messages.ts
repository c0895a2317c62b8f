/**
 * All updates, signals and queries. Their names are history: never rename one. Descriptions show in the Temporal Web UI beside the
 * handler, and are the only guidance there: each carries a JSON example to copy.
 */
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';

import type { Decision, DecisionOutcome } from '../shared/contracts/decisions.js';
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

export const statusQuery = defineQuery<RunView>('status');
