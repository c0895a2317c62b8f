import type { Command } from 'commander';

import type { PromoteInput } from '../../shared/contracts/runs.js';
import type { RecoveryResult } from '../../shared/contracts/sandbox.js';
import { changeIdFor } from '../../shared/ids.js';
import { PgrFailure } from '../../shared/pgr-failure.js';
import type { CliContext } from '../context.js';
import { requireEnvironment } from '../environments.js';
import { actorOf } from '../parse.js';
import { shellWord } from '../render/text.js';
import { resolveRun } from '../runs.js';
import { afterStart } from '../start.js';
import { recoveryOf } from '../results.js';
import { waitOptionsOf, withActor, withExample, withWait, type ActorFlags, type WaitFlags } from './options.js';

type PromoteFlags = ActorFlags & WaitFlags & { from: string; reason?: string };

/** `pgr promote`. */
export function registerPromote(program: Command, context: CliContext): void {
  const command = program
    .command('promote <env>')
    .description('make the sandbox of an earlier pitr run production, after approval')
    .requiredOption('--from <run>', 'the pitr run whose sandbox is promoted')
    .option('--reason <text>', 'why; goes into the record');
  withExample(
    withWait(withActor(command)),
    'pgr promote production --from production/pitr/20261121-034200 --watch',
  ).action(async (env: string, flags: PromoteFlags) => promote(context, env, flags));
}

async function promote(context: CliContext, env: string, flags: PromoteFlags): Promise<void> {
  const requestedBy = actorOf(flags.by, context.env);
  const wait = waitOptionsOf(flags);
  await requireEnvironment(context, env);
  const from = await resolveRun(context, flags.from);
  const recovery = await recoveryOf(context, from);
  refuseOthers(env, from.run, recovery);
  const reason = flags.reason ?? `promote the sandbox of ${from.run}`;
  const input: PromoteInput = {
    environment: env,
    requestedBy,
    reason,
    requestedAt: context.now().toISOString(),
    fromRun: from.run,
    ref: recovery.ref,
    recovery: recovery.plan,
    evidence: recovery.evidence,
    approved: null,
  };
  const client = await context.client();
  const started = await client.start({
    workflow: 'promote',
    id: changeIdFor(env),
    input,
    environment: env,
    requestedBy,
    reason,
    summary: `promote ${from.run} into ${env}`,
  });
  await afterStart(context, started, wait, [
    ['environment', env],
    ['sandbox', `${recovery.ref.sandbox} on ${recovery.ref.host}`],
    ['changes', 'nothing until gate promote is approved; then production is replaced'],
  ]);
}

function refuseOthers(env: string, run: string, { ref, outcome, promotion }: RecoveryResult): void {
  if (ref.environment !== env) {
    throw new PgrFailure('IdentityMismatch', `${run} restored environment ${ref.environment}, not ${env}`, {
      hint: 'nothing was touched; name the environment of the run',
      next: [`pgr promote ${shellWord(ref.environment)} --from ${shellWord(run)}`],
    });
  }
  if (outcome !== 'kept') {
    const by = promotion === null ? '' : ` by ${promotion.run}`;
    throw new PgrFailure('PreconditionFailed', `the sandbox of ${run} was ${outcome} already${by}`, {
      hint: 'restore again with `pgr pitr`',
      next: [`pgr show ${shellWord(run)}`],
    });
  }
}
