import type { Command } from 'commander';

import type { RebuildStandbyRunInput } from '../../shared/contracts/runs.js';
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

type RebuildFlags = ActorFlags & WaitFlags & { method?: string; rateLimit?: string; reason?: string; plan?: boolean };

const METHODS = ['auto', 'rewind', 'basebackup'] as const;
/** What pg_basebackup --max-rate takes: 32 kB/s to 1 GB/s. */
const SLOWEST_KB = 32;
const FASTEST_KB = 1_048_576;

/** `pgr rebuild-standby`. */
export function registerRebuildStandby(program: Command, context: CliContext): void {
  const command = program
    .command('rebuild-standby <env> <node>')
    .description('make a standby anew from the primary, after approval; its old data stay as a safety copy')
    .option('--method <method>', 'auto (pg_rewind when it can, else a copy), rewind or basebackup', 'auto')
    .option('--rate-limit <MB/s>', 'no faster than this many megabytes a second')
    .option('--reason <text>', 'why; goes into the record')
    .option('--plan', 'check everything and print the plan; change nothing and hold no lock');
  withExample(
    withWait(withActor(command)),
    'pgr rebuild-standby production chicago --plan',
    'pgr rebuild-standby production chicago --rate-limit 50 --reason "disk replaced" --watch',
  ).action(async (env: string, node: string, flags: RebuildFlags) => rebuildStandby(context, env, node, flags));
}

async function rebuildStandby(context: CliContext, env: string, node: string, flags: RebuildFlags): Promise<void> {
  const requestedBy = actorOf(flags.by, context.env);
  const wait = waitOptionsOf(flags);
  const method = methodOf(flags.method ?? 'auto');
  const rateLimitKbPerSecond = flags.rateLimit === undefined ? null : parseRate(flags.rateLimit);
  const { environment } = await requireEnvironment(context, env);
  requireNode(env, environment, node);
  const planOnly = flags.plan === true;
  const build = (requestedAt: string): StartRequest => {
    const input: RebuildStandbyRunInput = {
      environment: env,
      requestedBy,
      reason: flags.reason ?? '',
      requestedAt,
      node,
      method,
      rateLimitKbPerSecond,
      ...(planOnly ? { planOnly } : {}),
    };
    return {
      workflow: 'rebuildStandby',
      id: planOnly ? planIdFor(env, requestedAt) : changeIdFor(env),
      input,
      environment: env,
      requestedBy,
      reason: input.reason,
      summary: `${planOnly ? 'plan of a ' : ''}rebuild of ${node} in ${env}`,
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
    ['node', node],
    ['changes', `nothing until gate wipe is approved; then the data of ${node} are replaced, with a safety copy`],
  ]);
}

function methodOf(text: string): RebuildStandbyRunInput['method'] {
  const method = METHODS.find((one) => one === text);
  if (method !== undefined) return method;
  throw new PgrFailure('BadUsage', `--method ${text}: there is no such method`, {
    hint: `it is ${METHODS.join(', ')}`,
  });
}

function parseRate(text: string): number {
  const match = /^(\d{1,7}(?:\.\d{1,3})?)(?:\s?MB\/s)?$/i.exec(text.trim());
  const kilobytes = match === null ? Number.NaN : Math.round(Number(match[1]) * 1000);
  if (kilobytes >= SLOWEST_KB && kilobytes <= FASTEST_KB) return kilobytes;
  throw new PgrFailure('BadUsage', `--rate-limit ${text}: that is not a rate`, {
    hint: 'write megabytes a second, 0.032 to 1048: --rate-limit 50',
  });
}
