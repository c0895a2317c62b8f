import type { Command } from 'commander';

import type { PitrInput } from '../../shared/contracts/runs.js';
import { pitrIdFor } from '../../shared/ids.js';
import { formatTarget, type TargetSpec } from '../../shared/target-time.js';
import type { CliContext } from '../context.js';
import { requireEnvironment } from '../environments.js';
import { actorOf, parseDuration, parseTargetFlags } from '../parse.js';
import { relativeTo, shellWord } from '../render/text.js';
import type { StartRequest } from '../run-client.js';
import { showPlan } from '../show-plan.js';
import { afterStart, startAtFreeSecond } from '../start.js';
import { waitOptionsOf, withActor, withExample, withWait, type ActorFlags, type WaitFlags } from './options.js';

type PitrFlags = ActorFlags &
  WaitFlags & {
    to?: string;
    ago?: string;
    promote?: boolean;
    plan?: boolean;
    reason?: string;
    host?: string;
    store?: string;
    ttl?: string;
  };

/** `pgr pitr`. */
export function registerPitr(program: Command, context: CliContext): void {
  const command = program
    .command('pitr <env>')
    .description('restore an environment to a moment into a sandbox; with --promote make it production after approval')
    .option('--to <target>', 'time with zone, latest, immediate, xid:N, before-xid:N, lsn:X/Y or name:N')
    .option('--ago <duration>', 'the moment this long ago: 90s, 15m, 2h')
    .option('--promote', 'ask for approval and promote the sandbox into production')
    .option('--plan', 'compute and print the plan; change nothing')
    .option('--reason <text>', 'why; goes into the record')
    .option('--host <host>', 'host of the sandbox (default: from the config)')
    .option(
      '--store <name>',
      'this backup store: main or one of otherBackups (default: the best that reaches the target)',
    )
    .option('--ttl <duration>', 'how long a sandbox that is not promoted is kept');
  withExample(
    withWait(withActor(command)),
    'pgr pitr production --to 2026-06-13T09:53:26Z --plan',
    'pgr pitr production --ago 15m --promote --reason "orders were deleted" --watch',
  ).action(async (env: string, flags: PitrFlags) => runPitr(context, env, flags));
}

async function runPitr(context: CliContext, env: string, flags: PitrFlags): Promise<void> {
  const now = context.now();
  const target = parseTargetFlags(flags, now);
  const requestedBy = actorOf(flags.by, context.env);
  const ttlSeconds = flags.ttl === undefined ? undefined : parseDuration(flags.ttl, '--ttl');
  const wait = waitOptionsOf(flags);
  await requireEnvironment(context, env);
  const build = (requestedAt: string): StartRequest => {
    const input: PitrInput = {
      environment: env,
      requestedBy,
      reason: flags.reason ?? '',
      requestedAt,
      target,
      promote: flags.promote === true && flags.plan !== true,
      ...(flags.host === undefined ? {} : { host: flags.host }),
      ...(flags.store === undefined ? {} : { store: flags.store }),
      ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
      ...(flags.plan === true ? { planOnly: true } : {}),
    };
    const summary = `${flags.plan === true ? 'plan of ' : ''}pitr of ${env} to ${formatTarget(target)}`;
    return {
      workflow: 'pitr',
      id: pitrIdFor(env, requestedAt),
      input,
      environment: env,
      requestedBy,
      reason: input.reason,
      summary,
    };
  };
  const started = await startAtFreeSecond(context, build);
  if (flags.plan === true) {
    await showPlan(context, started, (name) => `pgr window ${shellWord(name)}`);
    return;
  }
  await afterStart(context, started, wait, [
    ['environment', env],
    ['target', targetText(target, now)],
    ['changes', changesText(flags)],
  ]);
}

function targetText(target: TargetSpec, now: Date): string {
  return target.kind === 'time' ? `${target.value} ${relativeTo(target.value, now)}` : formatTarget(target);
}

function changesText({ promote }: PitrFlags): string {
  return promote === true
    ? 'a sandbox only, until gate promote is approved; then production is replaced'
    : 'a sandbox only; production is not touched';
}
