/** The plan of a refresh, made on the machine of the developer before anything is touched. Only reads. */
import { statfs } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { canonicalJson } from '../../../shared/canonical-json.js';
import type { DevPlan, DevTarget, DumpObject, PlanDevInput } from '../../../shared/contracts/dev.js';
import { sha256Hex } from '../../../shared/sha256.js';
import type { DevConfig } from '../../../config/schema.js';
import type { ActivityDeps } from '../../lib/deps.js';
import type { DumpSource } from '../../lib/dump-source.js';
import { devOf, dumpSourceOf } from '../../lib/environment-config.js';
import { isFailureOf, stepFailure } from '../../lib/failure.js';
import { cacheOf, cachedPath } from './dump-cache.js';
import { guardTarget, type TargetFacts } from './guard.js';
import { databaseNames } from './names.js';
import { ownTargetOf, readOwnIdentifier } from './own-server.js';
import { readSqlFile } from './run-post-sql.js';
import type { DevState } from './state.js';
import { targetOf } from './target-address.js';

type Deps = Pick<ActivityDeps, 'config' | 'resolveSecret' | 'dumpSource'>;
type Looked = { target: DevTarget; facts: TargetFacts | null };

const MOST_JOBS = 8;

/** Throws ConfigInvalid, NotFound, BadUsage, IdentityMismatch, NotAllowed, PreconditionFailed, SpaceMissing and what the source throws. */
export function createPlanDevRestore(deps: Deps) {
  return async function planDevRestore(input: PlanDevInput): Promise<DevPlan> {
    const { environment, mode } = input;
    const dev = devOf(deps.config, environment);
    const { target, facts } = await lookAtTarget(deps, input, dev);
    databaseNames(target.database);
    const before = mode === 'deferred' ? requireDeferred(facts, dev) : null;
    const chosen = await chooseDump(deps, input, dev, before);
    return hashed({
      ...{ environment, host: input.host, mode, target },
      ...chosen,
      jobs: dev.jobs ?? Math.max(2, Math.min(MOST_JOBS, os.availableParallelism())),
      deferred: deferredOf(input, dev, before),
      skipMatviews: dev.skipMatviews,
      postRestore: await sums(dev.postRestore),
      postDeferred: mode === 'deferred' ? await sums(dev.postDeferred ?? []) : [],
      defaultPartitions: dev.defaultPartitions,
      fastSettings: dev.fastSettings,
      ...factsOf(facts),
    });
  };
}

type Chosen = Pick<DevPlan, 'source' | 'sourceKind' | 'dump' | 'path'>;

/** Of `--deferred` the dump that `--fast` loaded, whatever is newer now. */
async function chooseDump(deps: Deps, input: PlanDevInput, dev: DevConfig, before: DevState | null): Promise<Chosen> {
  const { environment } = input;
  const { stateDir } = deps.config;
  const source = before?.source ?? input.source ?? Object.keys(dev.sources)[0] ?? '';
  const sourceKind = dumpSourceOf(deps.config, environment, source).kind;
  const dumps = await openSource(deps, environment, source);
  const dump = before?.dump ?? (await newest(dumps, source));
  const here = dumps.pathOf(dump);
  if (here === null) await requireSpace(stateDir, dump);
  return { source, sourceKind, dump, path: here ?? cachedPath(cacheOf(stateDir, environment, source), dump) };
}

async function sums(files: readonly string[]): Promise<DevPlan['postRestore']> {
  return Promise.all(files.map(async (one) => ({ path: one, sha256: (await readSqlFile(one)).sha256 })));
}

function factsOf(facts: TargetFacts | null): Pick<DevPlan, 'replaces' | 'warnings'> {
  const database = facts?.database ?? null;
  return { replaces: database === null ? null : { bytes: database.bytes }, warnings: facts?.warnings ?? [] };
}

function deferredOf({ mode }: PlanDevInput, dev: DevConfig, before: DevState | null): string[] {
  if (mode === 'full') return [];
  return before === null ? dev.deferred : before.deferred;
}

/** A server of ours that is not there yet has nothing to look at. */
async function lookAtTarget(deps: Deps, input: PlanDevInput, dev: DevConfig): Promise<Looked> {
  const target = targetOfInput(deps, input, dev);
  const own = target.kind === 'server' ? null : ownTargetOf(deps, input.environment);
  const password = target.password === null ? null : await deps.resolveSecret(target.password);
  const identifier = own === null ? null : await readOwnIdentifier(deps.config.stateDir, own);
  try {
    const facts = await guardTarget(deps, input.environment, { ...target, password }, identifier);
    return { target: { ...target, systemIdentifier: facts.systemIdentifier }, facts };
  } catch (error) {
    if (own === null || !isFailureOf(error, 'DatabaseUnavailable')) throw error;
    return { target: { ...target, systemIdentifier: identifier }, facts: null };
  }
}

function targetOfInput(deps: Deps, { into, password, environment }: PlanDevInput, dev: DevConfig): DevTarget {
  if (into !== null) return { kind: 'server', ...targetOf(into), password, systemIdentifier: null };
  const own = ownTargetOf(deps, environment);
  const { database } = dev;
  if (own !== null) {
    return {
      kind: own.kind,
      host: '127.0.0.1',
      port: own.port,
      user: 'postgres',
      password: null,
      database,
      systemIdentifier: null,
    };
  }
  const { target } = dev;
  if (target?.kind !== 'server') throw stepFailure('ConfigInvalid', `environment ${environment} has no dev.target`);
  const address = targetOf(withDatabase(target.url, database));
  return { kind: 'server', ...address, password: target.password ?? null, systemIdentifier: null };
}

function withDatabase(url: string, database: string): string {
  const parsed = new URL(url);
  if (parsed.pathname === '' || parsed.pathname === '/') parsed.pathname = `/${encodeURIComponent(database)}`;
  return parsed.toString();
}

/** What an earlier `--fast` left out. Throws PreconditionFailed when there is nothing, or when its rows would come in as they are in production. */
function requireDeferred(facts: TargetFacts | null, { postDeferred }: DevConfig): DevState {
  const state = facts?.database?.state ?? null;
  if (state === null) {
    throw stepFailure('PreconditionFailed', 'the database was not restored by pgr', {
      hint: 'restore it first: `pgr restore-dev ENV --fast`',
    });
  }
  if (state.deferred.length === 0) {
    throw stepFailure('PreconditionFailed', 'the database has all of its rows already', {
      hint: 'nothing is left to load',
    });
  }
  if (!state.postRestore || postDeferred !== undefined) return state;
  throw stepFailure(
    'PreconditionFailed',
    'postRestore changed the rows of this database, and nothing says what must be done to those that come now',
    {
      hint: 'name SQL files in dev.postDeferred of the config; an empty list says that there is nothing to do',
    },
  );
}

async function openSource({ dumpSource }: Deps, environment: string, source: string): Promise<DumpSource> {
  if (dumpSource === undefined) throw stepFailure('Bug', 'this worker has no sources of dumps');
  return dumpSource(environment, source);
}

async function newest(dumps: DumpSource, source: string): Promise<DumpObject> {
  const [dump] = await dumps.list();
  if (dump !== undefined) return dump;
  throw stepFailure('NotFound', `source ${source} has no complete dump`, { hint: 'name another --source' });
}

/** Of the file alone: how much room the server has, only it knows. */
async function requireSpace(stateDir: string, { bytes, name }: DumpObject): Promise<void> {
  const facts = await statfs(stateDir)
    .catch(() => statfs(path.dirname(stateDir)))
    .catch(() => null);
  if (facts === null || facts.bavail * facts.bsize >= bytes) return;
  throw stepFailure(
    'SpaceMissing',
    `${name} has ${String(bytes)} bytes, at ${stateDir} there are ${String(facts.bavail * facts.bsize)}`,
    {
      hint: 'free space there, or set stateDir elsewhere',
    },
  );
}

function hashed(body: Omit<DevPlan, 'hash'>): DevPlan {
  return { ...body, hash: sha256Hex(canonicalJson({ ...body, replaces: undefined, warnings: undefined })) };
}
