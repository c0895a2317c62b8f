import type { Command } from 'commander';

import type { ClusterLocale, DumpSource } from '../../shared/contracts/dump.js';
import type { RestoreDumpInput } from '../../shared/contracts/runs.js';
import { restoreDumpIdFor } from '../../shared/ids.js';
import { PgrFailure } from '../../shared/pgr-failure.js';
import type { CliContext } from '../context.js';
import { requireEnvironment } from '../environments.js';
import { actorOf, parseDuration } from '../parse.js';
import { shellWord } from '../render/text.js';
import type { StartRequest } from '../run-client.js';
import { showPlan } from '../show-plan.js';
import { afterStart, startAtFreeSecond } from '../start.js';
import { waitOptionsOf, withActor, withExample, withWait, type ActorFlags, type WaitFlags } from './options.js';

type RestoreDumpFlags = ActorFlags &
  WaitFlags & {
    from: string;
    password?: string;
    globals?: string;
    jobs?: string;
    quick?: boolean;
    handOver?: boolean;
    promote?: boolean;
    plan?: boolean;
    reason?: string;
    host?: string;
    ttl?: string;
    encoding?: string;
    locale?: string;
    localeProvider?: string;
  };

/** `pgr restore-dump`. */
export function registerRestoreDump(program: Command, context: CliContext): void {
  const command = program
    .command('restore-dump <env>')
    .description('last resort: restore a pg_dump into a new cluster in a sandbox; what was committed after it is lost')
    .requiredOption('--from <source>', 'absolute path on the host of the sandbox, or postgresql:// URL of a server')
    .option('--password <ref>', 'password of the server: env:NAME, file:/path or op://vault/item/field')
    .option('--globals <file>', 'output of pg_dumpall --globals-only: keeps owners, grants and passwords')
    .option('--jobs <n>', 'sessions of pg_restore and pg_dump (default: processors, at most 4)')
    .option('--quick', 'do not read the data of an archive before they are restored')
    .option('--hand-over', 'ask for approval, then leave a cluster ready to be put into production by hand')
    .option('--promote', 'ask for approval, then put it into the place of production; the old data are kept')
    .option('--plan', 'read the dump and print the plan; make nothing')
    .option('--reason <text>', 'why; goes into the record')
    .option('--host <host>', 'host of the sandbox and of the file (default: from the config)')
    .option('--ttl <duration>', 'how long a sandbox that is not handed over is kept')
    .option('--encoding <name>', 'encoding of the new cluster (default: as production, else as the dump)')
    .option('--locale <name>', 'its locale')
    .option('--locale-provider <name>', 'libc, icu or builtin');
  withExample(
    withWait(withActor(command)),
    'pgr restore-dump production --from /backups/shop.dump --plan',
    'pgr restore-dump production --from /backups/shop.dump --globals /backups/globals.sql --promote --watch',
    'pgr restore-dump production --from "postgresql://app@old-db:25060/shop?sslmode=require" --password env:OLD_DB',
  ).action(async (env: string, flags: RestoreDumpFlags) => runRestoreDump(context, env, flags));
}

async function runRestoreDump(context: CliContext, env: string, flags: RestoreDumpFlags): Promise<void> {
  const request = requestOf(context, flags);
  const wait = waitOptionsOf(flags);
  await requireEnvironment(context, env);
  const planOnly = flags.plan === true;
  const build = (requestedAt: string): StartRequest => {
    const input: RestoreDumpInput = { ...request, environment: env, requestedAt };
    return {
      workflow: 'restoreDump',
      id: restoreDumpIdFor(env, requestedAt),
      input,
      environment: env,
      requestedBy: input.requestedBy,
      reason: input.reason,
      summary: `${planOnly ? 'plan of ' : ''}restore-dump of ${env} from ${sourceText(input.source)}`,
    };
  };
  const started = await startAtFreeSecond(context, build);
  if (planOnly) {
    await showPlan(context, started, (name) => `pgr check ${shellWord(name)}`);
    return;
  }
  await afterStart(context, started, wait, [
    ['environment', env],
    ['source', sourceText(request.source)],
    [
      'changes',
      request.promote === true
        ? 'a sandbox until gate promote is approved; then production is replaced by another cluster'
        : 'a sandbox only; production is not touched',
    ],
    ['lost', 'everything committed after the dump began: the plan says how much'],
  ]);
}

function requestOf(
  context: CliContext,
  flags: RestoreDumpFlags,
): Omit<RestoreDumpInput, 'environment' | 'requestedAt'> {
  if (flags.promote === true && flags.handOver === true) {
    throw new PgrFailure('BadUsage', '--promote and --hand-over exclude each other', {
      hint: '--promote puts it into production, --hand-over leaves that to you',
    });
  }
  return {
    requestedBy: actorOf(flags.by, context.env),
    reason: flags.reason ?? '',
    source: sourceOf(flags),
    globals: flags.globals === undefined ? null : absolute(flags.globals, '--globals'),
    jobs: flags.jobs === undefined ? null : parseJobs(flags.jobs),
    locale: localeOf(flags),
    quick: flags.quick === true,
    handOver: flags.handOver === true && flags.plan !== true,
    ...(flags.promote === true && flags.plan !== true ? { promote: true } : {}),
    ...(flags.host === undefined ? {} : { host: flags.host }),
    ...(flags.ttl === undefined ? {} : { ttlSeconds: parseDuration(flags.ttl, '--ttl') }),
    ...(flags.plan === true ? { planOnly: true } : {}),
  };
}

/** What is refused here never gets into a history: a password above all. */
function sourceOf({ from, password }: RestoreDumpFlags): DumpSource {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(from)) {
    if (password === undefined) return { kind: 'file', path: absolute(from, '--from') };
    throw new PgrFailure('BadUsage', '--password belongs to a server, not to a file', { hint: 'leave it out' });
  }
  const url = URL.canParse(from) ? new URL(from) : null;
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol)) {
    throw new PgrFailure('BadUsage', '--from is neither an absolute path nor a postgresql:// URL', {
      hint: 'fetch the dump onto the host of the sandbox first',
    });
  }
  if (url.password !== '' || url.searchParams.has('password')) {
    throw new PgrFailure('BadUsage', 'the URL carries a password, which would stand in the history of the run', {
      hint: 'leave it out and give --password env:NAME, file:/path or op://vault/item/field',
    });
  }
  if (password !== undefined && !/^(env:[A-Za-z_]\w*|file:\/.+|op:\/\/.+)$/.test(password)) {
    throw new PgrFailure('BadUsage', '--password is not a reference to a secret', {
      hint: 'give env:NAME, file:/path or op://vault/item/field; the worker reads it',
    });
  }
  return { kind: 'server', url: from, password: password ?? null };
}

function absolute(path: string, flag: string): string {
  if (path.startsWith('/')) return path;
  throw new PgrFailure('BadUsage', `${flag} ${path}: that is not an absolute path`, {
    hint: 'name the file as the worker on the host of the sandbox sees it',
  });
}

function parseJobs(text: string): number {
  const jobs = Number(text);
  if (Number.isInteger(jobs) && jobs >= 1 && jobs <= 64) return jobs;
  throw new PgrFailure('BadUsage', `--jobs ${text}: that is not a number from 1 to 64`, {
    hint: 'give a whole number',
  });
}

function localeOf({ encoding, locale, localeProvider }: RestoreDumpFlags): Partial<ClusterLocale> | null {
  if (encoding === undefined && locale === undefined && localeProvider === undefined) return null;
  const provider = localeProvider ?? 'libc';
  if (provider !== 'libc' && provider !== 'icu' && provider !== 'builtin') {
    throw new PgrFailure('BadUsage', `--locale-provider ${provider}: that is none`, { hint: 'libc, icu or builtin' });
  }
  if (provider !== 'libc' && locale === undefined) {
    throw new PgrFailure('BadUsage', `--locale-provider ${provider} needs --locale`, { hint: 'name its locale' });
  }
  return { ...(encoding === undefined ? {} : { encoding }), ...namesOf(provider, locale) };
}

function namesOf(provider: ClusterLocale['provider'], locale: string | undefined): Partial<ClusterLocale> {
  if (locale === undefined) return {};
  return provider === 'libc' ? { provider, collate: locale, ctype: locale, locale: null } : { provider, locale };
}

function sourceText(source: DumpSource): string {
  return source.kind === 'file' ? source.path : source.url;
}
