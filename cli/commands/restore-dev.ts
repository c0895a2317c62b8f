import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { Option, type Command } from 'commander';

import type { DevMode } from '../../shared/contracts/dev.js';
import type { RestoreDevInput } from '../../shared/contracts/runs.js';
import { restoreDevIdFor } from '../../shared/ids.js';
import { PgrFailure } from '../../shared/pgr-failure.js';
import type { CliContext } from '../context.js';
import { requireEnvironment, type NamedEnvironment } from '../environments.js';
import { actorOf } from '../parse.js';
import type { StartRequest } from '../run-client.js';
import { showPlan } from '../show-plan.js';
import { afterStart, startAtFreeSecond } from '../start.js';
import { waitOptionsOf, withActor, withExample, withWait, type ActorFlags, type WaitFlags } from './options.js';

type RestoreDevFlags = ActorFlags &
  WaitFlags & {
    source?: string;
    fast?: boolean;
    full?: boolean;
    deferred?: boolean;
    into?: string;
    password?: string;
    plan?: boolean;
    reason?: string;
  };

/** `pgr restore-dev`. */
export function registerRestoreDev(program: Command, context: CliContext): void {
  const command = program
    .command('restore-dev <env>')
    .description("refresh a developer's database from a recent dump of an environment, which is not touched")
    .option('--source <name>', 'where the dump comes from (default: the first source of the config)')
    .addOption(
      new Option('--fast', 'usable first; the rows of deferred tables later (default)').conflicts(['full', 'deferred']),
    )
    .addOption(new Option('--full', 'everything at once').conflicts('deferred'))
    .option('--deferred', 'load what --fast left out, into the same database')
    .option('--into <url>', "postgresql:// URL of a developer's database (default: the target of the config)")
    .option('--password <ref>', 'password for --into: env:NAME, file:/path or op://vault/item/field')
    .option('--plan', 'only prove the target, choose the dump and print the plan; changes nothing')
    .option('--reason <text>', 'why; goes into the record');
  withExample(
    withWait(withActor(command)),
    'pgr restore-dev production --plan',
    'pgr restore-dev production --watch',
    'pgr restore-dev production --deferred',
    'pgr restore-dev production --full --into postgresql://me@127.0.0.1:5432/shop_dev --password env:PGPASSWORD',
  ).action(async (env: string, flags: RestoreDevFlags) => runRestoreDev(context, env, flags));
}

async function runRestoreDev(context: CliContext, env: string, flags: RestoreDevFlags): Promise<void> {
  const wait = waitOptionsOf(flags);
  const named = await requireEnvironment(context, env);
  const request = requestOf(context, named, flags);
  const { database } = request;
  await ensureServers(context, named, request.input.host);
  const planOnly = request.input.planOnly === true;
  const started = await startAtFreeSecond(context, (requestedAt): StartRequest => {
    const input: RestoreDevInput = { ...request.input, requestedAt };
    return {
      workflow: 'restoreDev',
      id: restoreDevIdFor(env, requestedAt),
      input,
      environment: env,
      requestedBy: input.requestedBy,
      reason: input.reason,
      summary: `${planOnly ? 'plan of ' : ''}restore-dev (${input.mode}) of ${env} into ${database}`,
    };
  });
  if (planOnly) {
    await showPlan(context, started, () => 'pgr config check');
    return;
  }
  await afterStart(context, started, wait, [
    ['environment', `${env}, which is not touched`],
    ['into', request.input.into ?? `database ${database} of the target in the config`],
    ['mode', request.input.mode],
    [
      'old database',
      request.input.mode === 'deferred'
        ? 'stays, rows are added'
        : 'serves until the new one is complete; then it is kept as the previous one',
    ],
  ]);
}

type Request = { input: Omit<RestoreDevInput, 'requestedAt'>; database: string };

function requestOf(
  context: CliContext,
  { name, environment, path: file }: NamedEnvironment,
  flags: RestoreDevFlags,
): Request {
  const { dev } = environment;
  if (dev === undefined) {
    throw new PgrFailure('ConfigInvalid', `environment ${name} says nothing about databases of developers in ${file}`, {
      hint: 'add `dev` with sources, database and target to it; recovery.example.yaml shows how',
      next: ['pgr config check'],
    });
  }
  if (flags.source !== undefined && !Object.hasOwn(dev.sources, flags.source)) {
    throw new PgrFailure('NotFound', `environment ${name} has no source ${flags.source}`, {
      hint: `its sources are ${Object.keys(dev.sources).join(', ')}`,
    });
  }
  const input = {
    environment: name,
    requestedBy: actorOf(flags.by, context.env),
    reason: flags.reason ?? '',
    host: dev.host,
    mode: modeOf(flags),
    source: flags.source ?? null,
    into: intoOf(flags),
    password: passwordOf(flags),
    ...(flags.plan === true ? { planOnly: true } : {}),
  };
  return { input, database: dev.database };
}

function modeOf({ full, deferred }: RestoreDevFlags): DevMode {
  if (deferred === true) return 'deferred';
  return full === true ? 'full' : 'fast';
}

/** What is refused here never gets into a history: a password above all. */
function intoOf({ into }: RestoreDevFlags): string | null {
  if (into === undefined) return null;
  const url = URL.canParse(into) ? new URL(into) : null;
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol)) {
    throw new PgrFailure('BadUsage', '--into is not a postgresql:// URL', {
      hint: 'write postgresql://USER@127.0.0.1:PORT/DATABASE',
    });
  }
  if (url.password === '' && !url.searchParams.has('password')) return into;
  throw new PgrFailure('BadUsage', 'the URL carries a password, which would stand in the history of the run', {
    hint: 'leave it out and give --password env:NAME, file:/path or op://vault/item/field',
  });
}

function passwordOf({ into, password }: RestoreDevFlags): string | null {
  if (password === undefined) return null;
  if (into === undefined)
    throw new PgrFailure('BadUsage', '--password belongs to --into', {
      hint: 'that of the target stands in the config',
    });
  if (/^(env:[A-Za-z_]\w*|file:\/.+|op:\/\/.+)$/.test(password)) return password;
  throw new PgrFailure('BadUsage', '--password is not a reference to a secret', {
    hint: 'give env:NAME, file:/path or op://vault/item/field; the worker reads it',
  });
}

/** A laptop has no Temporal: when the config names none, one is started here, with a worker. */
async function ensureServers(
  context: CliContext,
  { config, path: file }: NamedEnvironment,
  host: string,
): Promise<void> {
  const { temporalNamed, temporalTarget } = await import('../client.js');
  if (temporalNamed(config)) return;
  const { startEmbedded } = await import('../../lab/embedded.js');
  const main = await realpath(process.argv[1] ?? '');
  const started = await startEmbedded({
    ...{ config, configPath: path.resolve(file), host, env: context.env, node: process.execPath },
    namespace: temporalTarget(config).namespace,
    distDir: context.env['PGR_DIST_DIR'] ?? path.dirname(path.dirname(main)),
    progress: (text) => {
      context.io.err(`${text}\n`);
    },
  });
  if (started.length > 0) context.io.err(`started on this machine: ${started.join(', ')}\n`);
}
