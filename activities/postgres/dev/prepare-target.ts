/**
 * The developer's server is made and started when it is one of ours and not there; a server that is there is left as it is.
 * On a retry: a half-made data directory is one without our note, and is made anew beside it.
 */
import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';

import type { DevPlan, DevStepInput, PrepareDevTargetResult } from '../../../shared/contracts/dev.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { devOf } from '../../lib/environment-config.js';
import { runProgram, runProgramOrFail } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';
import { writeWhole } from '../../lib/write-whole.js';
import { withClient } from '../../lib/database.js';
import { pollUntil } from '../../lib/poll.js';
import { directoryState, giveTo, runAsOwner, type Owner } from '../data-directory.js';
import { startServer } from '../server.js';
import { containerArgs } from './docker-args.js';
import { guardTarget } from './guard.js';
import { noteOf, OWN_SETTINGS, ownTargetOf, readOwnIdentifier, settingArgs, type OwnTarget } from './own-server.js';

type Deps = Pick<ActivityDeps, 'config' | 'resolveSecret'>;

const CONTAINER_TIMEOUT_MS = 120_000;

/** Throws what {@link guardTarget} throws, PortTaken, CommandFailed. */
export function createPrepareDevTarget(deps: Deps) {
  return async function prepareDevTarget({ plan }: DevStepInput): Promise<PrepareDevTargetResult> {
    const { target } = plan;
    const own = target.kind === 'server' ? null : ownTargetOf(deps, plan.environment);
    const outcome = own === null ? 'already-running' : await bringUp(deps, plan, own);
    const password = target.password === null ? null : await deps.resolveSecret(target.password);
    const identifier = own === null ? null : await rememberIdentity(deps, plan, own, password);
    const facts = await guardTarget(deps, plan.environment, { ...target, password }, identifier);
    if (target.systemIdentifier !== null && target.systemIdentifier !== facts.systemIdentifier) {
      throw stepFailure(
        'IdentityMismatch',
        `another server answers now than the plan was made for: ${facts.systemIdentifier}`,
        {
          hint: 'nothing was touched; start again when it is clear which server it is',
        },
      );
    }
    return { outcome, systemIdentifier: facts.systemIdentifier, url: urlOf(target) };
  };
}

/** For people and applications; without a password. */
function urlOf({ user, host, port, database }: Pick<DevPlan['target'], 'user' | 'host' | 'port' | 'database'>): string {
  const shown = host.startsWith('/') ? encodeURIComponent(host) : host;
  return `postgresql://${encodeURIComponent(user)}@${shown}:${String(port)}/${encodeURIComponent(database)}`;
}

async function bringUp(
  deps: Deps,
  { environment }: DevPlan,
  target: OwnTarget,
): Promise<PrepareDevTargetResult['outcome']> {
  const { binDir } = devOf(deps.config, environment);
  return target.kind === 'process' ? startProcess(deps, target, binDir ?? null) : startContainer(target, environment);
}

async function startProcess(
  { config }: Deps,
  target: Extract<OwnTarget, { kind: 'process' }>,
  configured: string | null,
): Promise<PrepareDevTargetResult['outcome']> {
  const binDir = configured ?? (await binDirOnPath());
  const { dataDir, port } = target;
  const state = await directoryState(dataDir);
  const owner = await ownerFor(target.runAs);
  if (state === 'other')
    throw stepFailure('PreconditionFailed', `${dataDir} holds something that is no cluster`, {
      hint: 'name another dev.target.dataDir',
    });
  const isNew = state !== 'cluster';
  if (!isNew && (await readOwnIdentifier(config.stateDir, target)) === null) {
    throw stepFailure('PreconditionFailed', `the cluster in ${dataDir} was not made by pgr`, {
      hint: 'name another dev.target.dataDir, or use it as kind server',
    });
  }
  if (isNew) await makeCluster(binDir, dataDir, owner, noteOf(config.stateDir, target));
  const started = await startServer({
    ...{ binDir, dataDir, owner, logFile: `${dataDir}.log` },
    options: settingArgs({
      ...OWN_SETTINGS,
      listen_addresses: '127.0.0.1',
      port: String(port),
      unix_socket_directories: '',
    }),
  });
  if (isNew) return 'made';
  return started.outcome === 'started' ? 'started' : 'already-running';
}

/** The note comes before the rename: a cluster without one is never taken for ours. */
async function makeCluster(binDir: string, dataDir: string, owner: Owner, note: string): Promise<void> {
  const fresh = `${dataDir}.new`;
  await mkdir(path.dirname(dataDir), { recursive: true });
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { mode: 0o700 });
  await giveTo(fresh, owner);
  const args = [
    `--pgdata=${fresh}`,
    '--username=postgres',
    '--auth=trust',
    '--encoding=UTF8',
    '--locale=C',
    '--data-checksums',
    '--no-instructions',
  ];
  await runProgramOrFail(path.join(binDir, 'initdb'), args, { ...runAsOwner(owner), timeoutMs: 300_000 });
  const control = await runProgramOrFail(path.join(binDir, 'pg_controldata'), [`--pgdata=${fresh}`], runAsOwner(owner));
  await writeNote(note, /^Database system identifier: +(\d+)$/m.exec(control)?.[1] ?? '');
  await rm(dataDir, { recursive: true, force: true });
  await rename(fresh, dataDir);
}

async function writeNote(note: string, systemIdentifier: string): Promise<void> {
  await mkdir(path.dirname(note), { recursive: true, mode: 0o700 });
  await writeWhole(note, `${JSON.stringify({ systemIdentifier })}\n`);
}

async function ownerFor(user: string): Promise<Owner> {
  const uid = process.getuid?.() ?? 0;
  if (uid !== 0) return { uid, gid: process.getgid?.() ?? uid };
  const id = async (flag: string): Promise<number> => Number((await runProgramOrFail('id', [flag, user])).trim());
  return { uid: await id('-u'), gid: await id('-g') };
}

async function binDirOnPath(): Promise<string> {
  const said = await runProgram('pg_config', ['--bindir']).catch(() => null);
  if (said?.exitCode === 0) return said.stdout.trim();
  throw stepFailure('PreconditionFailed', 'the programs of PostgreSQL are not on the PATH', {
    hint: 'set dev.binDir in the config',
  });
}

async function startContainer(
  target: Extract<OwnTarget, { kind: 'docker' }>,
  environment: string,
): Promise<PrepareDevTargetResult['outcome']> {
  const { container } = target;
  const seen = await runProgram('docker', [
    'inspect',
    '--format',
    '{{.State.Running}} {{index .Config.Labels "pgr.dev"}}',
    container,
  ]);
  const [running, label] = seen.stdout.trim().split(' ');
  if (seen.exitCode !== 0 && !/no such (object|container)/i.test(seen.stderr)) {
    throw stepFailure('CommandFailed', `docker does not answer: ${seen.stderr.trim().split('\n').at(-1) ?? ''}`, {
      hint: 'start docker, or use dev.target kind process',
    });
  }
  if (seen.exitCode === 0 && label !== environment) {
    throw stepFailure('PreconditionFailed', `container ${container} was not made by pgr for ${environment}`, {
      hint: 'name another dev.target.container, or use it as kind server',
    });
  }
  if (running === 'true') return 'already-running';
  const made = seen.exitCode !== 0;
  const args = made ? containerArgs(target, environment) : ['start', container];
  await runProgramOrFail('docker', args, { timeoutMs: 600_000 });
  return made ? 'made' : 'started';
}

/** A container is ours by its label; what its server is called it says itself, once. */
async function rememberIdentity(
  { config }: Deps,
  { target }: DevPlan,
  own: OwnTarget,
  password: string | null,
): Promise<string | null> {
  const before = await readOwnIdentifier(config.stateDir, own);
  if (before !== null) return before;
  const { host, port, user } = target;
  const read = async (): Promise<string | null> =>
    withClient({ host, port, user, password, database: 'postgres' }, async (client) => {
      const { rows } = await client.query<{ id: string }>(
        'select system_identifier::text as id from pg_control_system()',
      );
      return rows[0]?.id ?? null;
    }).catch(() => null);
  // The image starts a server to initialise first, which listens on a socket only.
  const identifier = await pollUntil(read, { timeoutMs: CONTAINER_TIMEOUT_MS, everyMs: 500 });
  if (identifier === null)
    throw stepFailure('DatabaseUnavailable', `the server in container at port ${String(port)} does not answer`);
  await writeNote(noteOf(config.stateDir, own), identifier);
  return identifier;
}
