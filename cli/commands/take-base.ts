import type { Command } from 'commander';

import type { TakeBaseResult } from '../../shared/contracts/activities.js';
import type { TakeBaseRunInput } from '../../shared/contracts/runs.js';
import { compactUtc } from '../../shared/ids.js';
import type { CliContext } from '../context.js';
import { requireEnvironment } from '../environments.js';
import { actorOf } from '../parse.js';
import { renderPairs } from '../render/table.js';
import { formatBytes, formatDuration, shellWord } from '../render/text.js';
import type { StartedRun } from '../run-client.js';
import { startAtFreeSecond } from '../start.js';
import { EXIT } from '../watch.js';
import { waitOptionsOf, withActor, withExample, withWait, type ActorFlags, type WaitFlags } from './options.js';

type TakeBaseFlags = ActorFlags & WaitFlags & { incremental?: boolean; node?: string; reason?: string };

const POLL_MS = 500;

/** `pgr take-base`. */
export function registerTakeBase(program: Command, context: CliContext): void {
  const command = program
    .command('take-base <env>')
    .description('take a base into the backup store; nothing else is changed')
    .option('--incremental', 'only what changed since the newest base')
    .option('--node <node>', 'where to take it from (default: the first node of the config)')
    .option('--reason <text>', 'why');
  withExample(withWait(withActor(command)), 'pgr take-base production --incremental --wait').action(
    async (env: string, flags: TakeBaseFlags) => takeBase(context, env, flags),
  );
}

async function takeBase(context: CliContext, env: string, flags: TakeBaseFlags): Promise<void> {
  const requestedBy = actorOf(flags.by, context.env);
  const wait = waitOptionsOf(flags);
  await requireEnvironment(context, env);
  const kind = flags.incremental === true ? 'incremental' : 'full';
  const reason = flags.reason ?? '';
  const started = await startAtFreeSecond(context, (requestedAt) => {
    const input: TakeBaseRunInput = {
      environment: env,
      requestedBy,
      reason,
      requestedAt,
      kind,
      ...(flags.node === undefined ? {} : { node: flags.node }),
    };
    const id = `${env}/base/${compactUtc(requestedAt)}`;
    const summary = `${kind} base of ${env}`;
    return { workflow: 'takeBase', id, input, environment: env, requestedBy, reason, summary };
  });
  const client = await context.client();
  const ui = client.uiLink(started.run, started.runId);
  const next = `pgr show ${shellWord(started.run)}`;
  const text = renderPairs([
    ['run', started.run],
    ['base', kind],
    ['ui', ui],
    ['next', wait === null ? next : null],
  ]);
  if (wait === null) {
    context.result({ ...started, ui }, () => text);
    return;
  }
  context.io.err(text);
  await waitForBase(context, started, wait.timeoutSeconds);
}

/** A base is no runbook: it has no gate and no record, only an end. */
async function waitForBase(context: CliContext, started: StartedRun, timeoutSeconds: number | null): Promise<void> {
  const client = await context.client();
  const startedAt = context.now().getTime();
  for (;;) {
    const outcome = await client.outcome(started.run, started.runId);
    if (outcome?.state === 'failed') throw outcome.error;
    if (outcome?.state === 'completed') {
      const base = outcome.result as TakeBaseResult;
      context.result({ ...started, base }, () => renderBase(base));
      return;
    }
    const waited = (context.now().getTime() - startedAt) / 1000;
    const over = timeoutSeconds !== null && waited >= timeoutSeconds;
    if (over || context.interrupted.aborted) {
      context.io.err(`the base is still being taken\nnext: pgr show ${shellWord(started.run)}\n`);
      context.exit(over ? EXIT.stillRunning : EXIT.interrupted);
      if (over) context.result({ ...started, base: null }, () => '');
      return;
    }
    await context.sleep(POLL_MS);
  }
}

function renderBase({ id, kind, timeline, startLsn, stopLsn, bytes, rawBytes, seconds }: TakeBaseResult): string {
  return renderPairs([
    ['base', id],
    ['kind', kind],
    ['timeline', String(timeline)],
    ['wal', `${startLsn} to ${stopLsn}`],
    ['size', `${formatBytes(bytes)} stored, ${formatBytes(rawBytes)} restored`],
    ['took', formatDuration(seconds)],
  ]);
}
