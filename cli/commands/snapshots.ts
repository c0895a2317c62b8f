import type { Command } from 'commander';

import type { ListSnapshotsInput, ListSnapshotsResult, PruneSnapshotsInput } from '../../shared/contracts/runs.js';
import { changeIdFor } from '../../shared/ids.js';
import { PgrFailure } from '../../shared/pgr-failure.js';
import type { CliContext } from '../context.js';
import { requireEnvironment } from '../environments.js';
import { actorOf, parseDuration } from '../parse.js';
import { readThroughWorkflow } from '../read-through-workflow.js';
import { renderSnapshots } from '../render/snapshots.js';
import { afterStart } from '../start.js';
import { waitOptionsOf, withActor, withExample, withWait, type ActorFlags, type WaitFlags } from './options.js';

type PruneFlags = ActorFlags & WaitFlags & { olderThan?: string; keep?: string; reason?: string };

/** `pgr snapshots list` and `pgr snapshots prune`. */
export function registerSnapshots(program: Command, context: CliContext): void {
  const group = program.command('snapshots').description('safety copies of data that a rebuild or flip replaced');
  const list = group.command('list <env>').description('the safety copies on every host, oldest first');
  withExample(list, 'pgr snapshots list production').action(async (env: string) => listSnapshots(context, env));
  const prune = group
    .command('prune <env>')
    .description(
      'remove safety copies by age and count, after approval; the newest verified one of a node always stays',
    )
    .option('--older-than <duration>', 'only copies of this age or older: 7d')
    .option('--keep <number>', 'never one of this many newest of each node')
    .option('--reason <text>', 'why; goes into the record');
  withExample(
    withWait(withActor(prune)),
    'pgr snapshots prune production --older-than 7d --watch',
    'pgr snapshots prune production --older-than 30d --keep 2',
  ).action(async (env: string, flags: PruneFlags) => pruneSnapshots(context, env, flags));
}

async function listSnapshots(context: CliContext, env: string): Promise<void> {
  const input: ListSnapshotsInput = { environment: env };
  const result = (await readThroughWorkflow(context, 'listSnapshots', env, input)) as ListSnapshotsResult;
  for (const { node, host, why } of result.unanswered) {
    context.io.err(`the copies of ${node} on host ${host} are not known: ${why}\n`);
  }
  if (result.copies.length === 0 && result.unanswered.length > 0) {
    const hosts = result.unanswered.map(({ host }) => host);
    throw new PgrFailure('HostUnreachable', `no host answers: ${hosts.join(', ')}`, {
      next: hosts.map((host) => `pgr worker --host ${host}`),
    });
  }
  context.result({ environment: env, ...result }, () => renderSnapshots(env, result, context.now()));
}

async function pruneSnapshots(context: CliContext, env: string, flags: PruneFlags): Promise<void> {
  const requestedBy = actorOf(flags.by, context.env);
  const wait = waitOptionsOf(flags);
  const olderThanSeconds = flags.olderThan === undefined ? null : parseDuration(flags.olderThan, '--older-than');
  const keep = flags.keep === undefined ? null : parseCount(flags.keep);
  if (olderThanSeconds === null && keep === null) {
    throw new PgrFailure('BadUsage', 'it is not said which copies may go', {
      hint: 'give --older-than 7d, --keep 2, or both: then a copy has to be old and beyond that number',
    });
  }
  await requireEnvironment(context, env);
  const reason = flags.reason ?? '';
  const requestedAt = context.now().toISOString();
  const input: PruneSnapshotsInput = { environment: env, requestedBy, reason, requestedAt, olderThanSeconds, keep };
  const client = await context.client();
  const started = await client.start({
    workflow: 'pruneSnapshots',
    id: changeIdFor(env),
    input,
    environment: env,
    requestedBy,
    reason,
    summary: `prune safety copies of ${env}`,
  });
  await afterStart(context, started, wait, [
    ['environment', env],
    ['rule', ruleText(flags)],
    ['changes', 'nothing until gate prune is approved; then the copies that its plan names are gone for good'],
  ]);
}

function ruleText({ olderThan, keep }: PruneFlags): string {
  return [
    ...(olderThan === undefined ? [] : [`older than ${olderThan}`]),
    ...(keep === undefined ? [] : [`beyond the ${keep} newest of each node`]),
  ].join(' and ');
}

function parseCount(text: string): number {
  if (/^\d{1,4}$/.test(text)) return Number(text);
  throw new PgrFailure('BadUsage', `--keep ${text}: that is not a number of copies`, { hint: 'write --keep 2' });
}
