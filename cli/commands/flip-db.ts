import type { Command } from 'commander';

import type { FlipMode } from '../../shared/contracts/flip.js';
import type { FlipDbInput } from '../../shared/contracts/runs.js';
import { changeIdFor, planIdFor } from '../../shared/ids.js';
import { PgrFailure } from '../../shared/pgr-failure.js';
import type { CliContext } from '../context.js';
import { requireEnvironment, requireNode } from '../environments.js';
import { actorOf } from '../parse.js';
import { shellWord } from '../render/text.js';
import type { StartRequest } from '../run-client.js';
import { showPlan } from '../show-plan.js';
import { afterStart, startAtFreeSecond } from '../start.js';
import { waitOptionsOf, withActor, withExample, withWait, type ActorFlags, type WaitFlags } from './options.js';

type FlipFlags = ActorFlags &
  WaitFlags & { to?: string; failover?: boolean; mode?: string; reason?: string; plan?: boolean };

/** `pgr flip-db`. */
export function registerFlipDb(program: Command, context: CliContext): void {
  const command = program
    .command('flip-db <env>')
    .description(
      'move the writes of an environment to its standby, after approval; --failover when the primary is gone',
    )
    .option('--to <node>', 'the new primary (default: the standby that is closest)')
    .option('--failover', 'the primary is dead or cannot be reached: what it alone has is lost')
    .option('--mode <mode>', 'stop: the old primary ends in order; cut: faster (default: from the config)')
    .option('--reason <text>', 'why; goes into the record')
    .option('--plan', 'check everything and print the plan; change nothing and hold no lock');
  withExample(
    withWait(withActor(command)),
    'pgr flip-db production --plan',
    'pgr flip-db production --to chicago --reason "kernel update of dallas" --watch',
    'pgr flip-db production --failover --reason "dallas does not answer" --watch',
  ).action(async (env: string, flags: FlipFlags) => flipDb(context, env, flags));
}

async function flipDb(context: CliContext, env: string, flags: FlipFlags): Promise<void> {
  const requestedBy = actorOf(flags.by, context.env);
  const wait = waitOptionsOf(flags);
  const { environment } = await requireEnvironment(context, env);
  if (flags.to !== undefined) requireNode(env, environment, flags.to);
  const failover = flags.failover === true;
  const planOnly = flags.plan === true;
  const to = flags.to ?? null;
  const mode = modeOf(flags.mode) ?? environment.flip.mode;
  const build = (requestedAt: string): StartRequest => {
    const input: FlipDbInput = {
      environment: env,
      requestedBy,
      reason: flags.reason ?? '',
      requestedAt,
      to,
      failover,
      mode,
      ...(planOnly ? { planOnly } : {}),
    };
    return {
      workflow: 'flipDb',
      id: planOnly ? planIdFor(env, requestedAt) : changeIdFor(env),
      input,
      environment: env,
      requestedBy,
      reason: input.reason,
      summary: `${planOnly ? 'plan of ' : ''}${failover ? 'failover' : 'flip'} of ${env}${to === null ? '' : ` to ${to}`}`,
    };
  };
  if (planOnly) {
    const started = await startAtFreeSecond(context, build);
    await showPlan(context, started, (name) => `pgr topology ${shellWord(name)}`);
    return;
  }
  const client = await context.client();
  const started = await client.start(build(context.now().toISOString()));
  await afterStart(context, started, wait, [
    ['environment', env],
    ['to', `${to ?? 'the closest standby'}${failover ? ', as a failover' : ''}`],
    ['changes', changesText(failover)],
  ]);
}

function changesText(failover: boolean): string {
  return failover
    ? 'nothing until gate flip is approved; then the old primary is fenced, and gate fence opens when that cannot be proven'
    : 'nothing until gate flip is approved; then writes move within a second';
}

function modeOf(text: string | undefined): FlipMode | null {
  if (text === undefined) return null;
  if (text === 'stop' || text === 'cut') return text;
  throw new PgrFailure('BadUsage', `--mode ${text}: there is no such mode`, { hint: 'it is stop or cut' });
}
