import type { Command } from 'commander';

import type { PromoteDumpInput, PromoteInput, RunRequest } from '../../shared/contracts/runs.js';
import { changeIdFor } from '../../shared/ids.js';
import { PgrFailure } from '../../shared/pgr-failure.js';
import type { CliContext } from '../context.js';
import { requireEnvironment } from '../environments.js';
import { actorOf } from '../parse.js';
import { shellWord } from '../render/text.js';
import type { StartRequest } from '../run-client.js';
import { resolveRun } from '../runs.js';
import { afterStart } from '../start.js';
import { promotableOf, type Promotable } from '../results.js';
import { waitOptionsOf, withActor, withExample, withWait, type ActorFlags, type WaitFlags } from './options.js';

type PromoteFlags = ActorFlags & WaitFlags & { from: string; reason?: string };

/** `pgr promote`. */
export function registerPromote(program: Command, context: CliContext): void {
  const command = program
    .command('promote <env>')
    .description('make the sandbox of an earlier pitr or restore-dump run production, after approval')
    .requiredOption('--from <run>', 'the run whose sandbox is promoted')
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
  const promotable = await promotableOf(context, from);
  const { ref } = promotable.kind === 'dump' ? promotable.dump : promotable.recovery;
  refuseOthers(env, from.run, promotable);
  const reason = flags.reason ?? `promote the sandbox of ${from.run}`;
  const request = { environment: env, requestedBy, reason, requestedAt: context.now().toISOString() };
  const client = await context.client();
  const started = await client.start({
    ...startOf(promotable, request, from.run),
    id: changeIdFor(env),
    environment: env,
    requestedBy,
    reason,
    summary: `promote ${from.run} into ${env}`,
  });
  await afterStart(context, started, wait, [
    ['environment', env],
    ['sandbox', `${ref.sandbox} on ${ref.host}`],
    ['changes', 'nothing until gate promote is approved; then production is replaced'],
  ]);
}

/** The workflow and its input. */
function startOf(
  promotable: Promotable,
  request: RunRequest,
  fromRun: string,
): Pick<StartRequest, 'workflow' | 'input'> {
  if (promotable.kind === 'dump') {
    const { ref, plan } = promotable.dump;
    const input: PromoteDumpInput = { ...request, fromRun, ref, dump: plan };
    return { workflow: 'promoteDump', input };
  }
  const { ref, plan, evidence } = promotable.recovery;
  const input: PromoteInput = { ...request, fromRun, ref, recovery: plan, evidence, approved: null };
  return { workflow: 'promote', input };
}

function refuseOthers(env: string, run: string, promotable: Promotable): void {
  const { ref, outcome, promotion } = promotable.kind === 'dump' ? promotable.dump : promotable.recovery;
  if (ref.environment !== env) {
    throw new PgrFailure('IdentityMismatch', `${run} restored environment ${ref.environment}, not ${env}`, {
      hint: 'nothing was touched; name the environment of the run',
      next: [`pgr promote ${shellWord(ref.environment)} --from ${shellWord(run)}`],
    });
  }
  if (outcome !== 'kept') {
    const by = promotion === null || promotion === undefined ? '' : ` by ${promotion.run}`;
    throw new PgrFailure('PreconditionFailed', `the sandbox of ${run} was ${outcome} already${by}`, {
      hint: promotable.kind === 'dump' ? 'restore again with `pgr restore-dump`' : 'restore again with `pgr pitr`',
      next: [`pgr show ${shellWord(run)}`],
    });
  }
}
