import type { Command } from 'commander';

import type { RestoreControllerInput } from '../../shared/contracts/runs.js';
import { changeIdFor, planIdFor } from '../../shared/ids.js';
import { PgrFailure } from '../../shared/pgr-failure.js';
import type { CliContext } from '../context.js';
import { requireEnvironment } from '../environments.js';
import { actorOf } from '../parse.js';
import { shellWord } from '../render/text.js';
import type { StartRequest } from '../run-client.js';
import { showPlan } from '../show-plan.js';
import { afterStart, startAtFreeSecond } from '../start.js';
import { waitOptionsOf, withActor, withExample, withWait, type ActorFlags, type WaitFlags } from './options.js';

type RestoreControllerFlags = ActorFlags & WaitFlags & { plan?: boolean; reason?: string };

/** `pgr restore-controller`. */
export function registerRestoreController(program: Command, context: CliContext): void {
  const command = program
    .command('restore-controller <env>')
    .description('the host of the backup controller is lost: make it anew, key first, and prove a restore')
    .option('--plan', 'prove the key, look at what is there and print the plan; make nothing and hold no lock')
    .option('--reason <text>', 'why; goes into the record');
  withExample(
    withWait(withActor(command)),
    'pgr restore-controller production --plan',
    'pgr restore-controller production --reason "host of databasus lost" --watch',
  ).action(async (env: string, flags: RestoreControllerFlags) => restoreController(context, env, flags));
}

async function restoreController(context: CliContext, env: string, flags: RestoreControllerFlags): Promise<void> {
  const requestedBy = actorOf(flags.by, context.env);
  const wait = waitOptionsOf(flags);
  const { environment } = await requireEnvironment(context, env);
  const { backups } = environment;
  if (backups.kind !== 'databasus' || backups.controller === undefined) {
    throw new PgrFailure('ConfigInvalid', `environment ${env} has no controller in its config`, {
      hint: 'describe it under backups.controller of a store of kind databasus: docs/restore-controller.md',
    });
  }
  const planOnly = flags.plan === true;
  const build = (requestedAt: string): StartRequest => {
    const input: RestoreControllerInput = {
      environment: env,
      requestedBy,
      reason: flags.reason ?? '',
      requestedAt,
      ...(planOnly ? { planOnly } : {}),
    };
    return {
      workflow: 'restoreController',
      id: planOnly ? planIdFor(env, requestedAt) : changeIdFor(env),
      input,
      environment: env,
      requestedBy,
      reason: input.reason,
      summary: `${planOnly ? 'plan of ' : ''}restore-controller of ${env}`,
    };
  };
  if (planOnly) {
    await showPlan(context, await startAtFreeSecond(context, build), (name) => `pgr check ${shellWord(name)}`);
    return;
  }
  const client = await context.client();
  await afterStart(context, await client.start(build(context.now().toISOString())), wait, [
    ['environment', env],
    ['controller', `${backups.controller.container} on host ${backups.controller.host}`],
    ['changes', 'nothing until gate controller is approved; no database is touched, a controller that works neither'],
  ]);
}
