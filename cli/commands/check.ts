import type { Command } from 'commander';

import type { CheckRunInput, CheckRunResult } from '../../shared/contracts/runs.js';
import type { EvidenceCheck } from '../../shared/contracts/sandbox.js';
import { ORCHESTRATOR_QUEUE, taskQueueForHost } from '../../shared/ids.js';
import type { CliContext } from '../context.js';
import { requireEnvironment, type NamedEnvironment } from '../environments.js';
import { readThroughWorkflow } from '../read-through-workflow.js';
import { evidenceLines } from '../render/run.js';
import { createStyle } from '../render/style.js';
import { count } from '../render/text.js';
import { withExample } from './options.js';

const EXIT_SOMETHING_WRONG = 5;

/** `pgr check`. */
export function registerCheck(program: Command, context: CliContext): void {
  const command = program
    .command('check <env>')
    .description('the doctor: connections, permissions, backups, archive, space; exit 5 when something is wrong');
  withExample(command, 'pgr check production').action(async (env: string) => check(context, env));
}

async function check(context: CliContext, env: string): Promise<void> {
  const named = await requireEnvironment(context, env);
  const workers = await checkWorkers(context, named);
  const input: CheckRunInput = { environment: env };
  // Without its workers nobody can look any further; that is the finding then.
  const canLook = workers.every(({ ok }) => ok);
  const answer = canLook
    ? ((await readThroughWorkflow(context, 'check', env, input)) as CheckRunResult)
    : { checks: [] };
  const checks = [...workers, ...answer.checks];
  const wrong = checks.filter(({ ok }) => !ok).length;
  if (wrong > 0) context.exit(EXIT_SOMETHING_WRONG);
  context.result({ environment: env, ok: wrong === 0, checks }, () =>
    [
      ...evidenceLines(checks, {
        style: createStyle(context.io, context.env),
        now: context.now(),
        columns: context.io.columns,
        ui: null,
      }),
      wrong === 0 ? `${env}: ${count(checks.length, 'check')}, all good` : `${env}: ${count(wrong, 'check')} failed`,
      '',
    ].join('\n'),
  );
}

async function checkWorkers(context: CliContext, { environment }: NamedEnvironment): Promise<EvidenceCheck[]> {
  const client = await context.client();
  const hosts = new Set([...environment.nodes, ...environment.apps].map(({ host }) => host));
  if (environment.sandbox.host !== undefined) hosts.add(environment.sandbox.host);
  const queues = [ORCHESTRATOR_QUEUE, ...[...hosts].map(taskQueueForHost)];
  return Promise.all(
    queues.map(async (queue) => {
      const ok = await client.hasWorker(queue);
      return { check: `worker on queue ${queue}`, expected: 'answers', actual: ok ? 'answers' : 'nobody polls it', ok };
    }),
  );
}
