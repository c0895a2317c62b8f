/**
 * The plan of the promotion of a restored dump, made on the host of the sandbox before anything changes. Nothing of the old history goes on, so what is
 * asked here is another question than for a recovery: whether the old cluster is out of the way, and whether the new one has an archive of its own.
 */
import path from 'node:path';

import type { EnvironmentConfig } from '../../../config/schema.js';
import type { DumpPlan } from '../../../shared/contracts/dump.js';
import type { DumpPromotionPlan, PlanDumpPromotionInput } from '../../../shared/contracts/promotion.js';
import { canonicalJson } from '../../../shared/canonical-json.js';
import { sha256Hex } from '../../../shared/sha256.js';
import { readBootId } from '../../lib/boot-id.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf } from '../../lib/environment-config.js';
import { stepFailure } from '../../lib/failure.js';
import { requireControlData } from '../control-data.js';
import { directoryState, ownerOf } from '../data-directory.js';
import { requireOwnArchive } from '../promotion/own-archive.js';
import { requireFreePlace } from '../promotion/plan-checks.js';
import { describeBackups, requireArchive } from '../promotion/plan-promotion.js';
import {
  choosePrimary,
  plannedNode,
  probeNodes,
  requireSameCluster,
  type ProbedNode,
} from '../promotion/probe-nodes.js';
import { requireArchiving } from '../promotion/production-settings.js';
import { refuseUnlessThrowaway, requireMarker, tainted } from '../sandbox/marker.js';
import { placeOf, type SandboxPlace } from '../sandbox/place.js';
import { stopCommand } from './hand-over-commands.js';
import { readRestored } from './restore-dump.js';

/** Stands for the identity of an old cluster of which nothing is left that says it; no cluster has it. */
const UNKNOWN = 'unknown';

/** Throws PreconditionFailed, ArchiveFailing, IdentityMismatch, SandboxTainted, SpaceMissing; nothing was touched then. */
export function createPlanDumpPromotion(deps: ActivityDeps) {
  return async function planDumpPromotion(input: PlanDumpPromotionInput): Promise<DumpPromotionPlan> {
    const { ref, plan } = input;
    const environment = environmentOf(deps.config, input.environment);
    await requireArchive(deps, input.environment);
    const sandbox = placeOf(deps.config, ref);
    const newSystemIdentifier = await requireRestored(sandbox, plan);
    const nodes = await probeNodes(deps, input.environment, environment, ref.host);
    refuseLivePrimary(nodes);
    const primary = choosePrimary(nodes, ref.host);
    const oldSystemIdentifier = oldSystemOf(nodes, plan, newSystemIdentifier);
    const old = oldSystemIdentifier ?? UNKNOWN;
    requireSameCluster(nodes, old);
    const settingsFrom = await requireSettings(deps, input, primary, sandbox);
    const archive = await requireOwnArchive(deps, input.environment, newSystemIdentifier);
    const mover = deps.snapshot(input.environment, primary.node.name);
    const place = await requireFreePlace(primary.node, sandbox, input.runId, mover);
    const standbys = nodes.filter((probed) => probed !== primary);
    const planned = (probed: ProbedNode): DumpPromotionPlan['primary'] => ({
      ...plannedNode(probed, input.runId, old),
      replacement: newSystemIdentifier,
    });
    const body = {
      environment: input.environment,
      ref,
      primary: planned(primary),
      standbys: standbys.map(planned),
      sandboxDataDir: sandbox.dataDir,
      lostUntil: plan.lost.until,
      lostSeconds: plan.lost.seconds,
      apps: environment.apps.map((app) => app.name),
      backups: describeBackups(environment),
      oldSystemIdentifier,
      newSystemIdentifier,
      settingsFrom,
      archive,
      warnings: [...place, ...warningsOf(environment, primary, standbys, plan)],
    };
    return { ...body, hash: sha256Hex(canonicalJson(body)) };
  };
}

/** The sandbox holds the whole restore of this plan, of this boot, on its way nowhere else. Returns its system identifier. */
async function requireRestored(sandbox: SandboxPlace, plan: DumpPlan): Promise<string> {
  const marker = await requireMarker(sandbox);
  refuseUnlessThrowaway(sandbox, marker);
  if (marker.state === 'tainted') throw tainted(sandbox, 'it was opened for writes');
  if (marker.boot !== (await readBootId())) throw tainted(sandbox, 'the host restarted before its data were on disk');
  if (marker.origin !== 'dump' || marker.planHash !== plan.hash) {
    throw stepFailure('IdentityMismatch', `the sandbox in ${sandbox.dir} was made for another plan`);
  }
  if ((await readRestored(sandbox, plan)) === null) {
    throw stepFailure('PreconditionFailed', `the restore into ${sandbox.dir} has not come to its end`, {
      hint: 'start again: `pgr restore-dump`',
    });
  }
  const { systemIdentifier } = await requireControlData(sandbox.binDir, sandbox.dataDir);
  if (systemIdentifier === marker.systemIdentifier) return systemIdentifier;
  throw stepFailure(
    'IdentityMismatch',
    `the sandbox has system identifier ${systemIdentifier}, its marker says ${marker.systemIdentifier}`,
  );
}

/**
 * What an old primary archives goes where the config says, and that is the archive of the new cluster already; and what it accepts is given up. So a person
 * stops it, knowingly, before anything else.
 */
function refuseLivePrimary(nodes: readonly ProbedNode[]): void {
  const live = nodes.find((probed) => probed.state === 'running' && probed.role === 'primary');
  if (live === undefined) return;
  const { node, systemIdentifier } = live;
  throw stepFailure(
    'PreconditionFailed',
    `${node.name} runs and accepts writes (system ${systemIdentifier ?? UNKNOWN}): all of them would be given up, and its WAL would come into the new archive`,
    {
      hint: `nothing was touched; if it can still be trusted, recover from it with \`pgr pitr\`; else stop it on host ${node.host}, then \`pgr retry\``,
      next: [stopCommand(node)],
    },
  );
}

/** The old cluster as a node that is left says it, else as it was when the dump was planned. Throws IdentityMismatch for our own. */
function oldSystemOf(nodes: readonly ProbedNode[], plan: DumpPlan, own: string): string | null {
  const old = nodes.find((probed) => probed.systemIdentifier !== null)?.systemIdentifier ?? plan.replaces;
  if (old !== own) return old;
  throw stepFailure(
    'IdentityMismatch',
    `a node of ${plan.environment} is system ${own} already: the restored cluster`,
    {
      hint: 'nothing was touched; `pgr topology` shows what runs where',
    },
  );
}

/** The files that the new cluster will start with let it archive. Throws ArchiveFailing, or PreconditionFailed for data that nobody can name. */
async function requireSettings(
  deps: ActivityDeps,
  input: PlanDumpPromotionInput,
  primary: ProbedNode,
  sandbox: SandboxPlace,
): Promise<string> {
  const { node } = primary;
  const dataDir = path.resolve(node.dataDir);
  if ((await directoryState(dataDir)) === 'cluster' && primary.systemIdentifier === null) {
    throw stepFailure('PreconditionFailed', `${dataDir} holds a cluster whose identity cannot be read (pg_control)`, {
      hint: 'nothing was touched; move it away, then `pgr retry`',
      next: [`mv ${dataDir} ${dataDir}.damaged`],
    });
  }
  const dir = primary.systemIdentifier === null ? sandbox.dataDir : dataDir;
  const { servers } = deps.runtime(input.environment, node.name);
  try {
    await requireArchiving(servers, dir, await ownerOf(dir), await deps.store(input.environment));
  } catch (error) {
    if (dir !== sandbox.dataDir || !(error instanceof Error)) throw error;
    throw stepFailure('ArchiveFailing', `nothing of production's configuration is left: ${error.message}`, {
      hint: `put postgresql.conf and pg_hba.conf of production into ${dir} (those of initdb stand there, the sandbox does not read them), with archive_mode = on and its archive_command; then \`pgr retry\``,
      cause: error,
    });
  }
  return dir;
}

function warningsOf(
  environment: EnvironmentConfig,
  primary: ProbedNode,
  standbys: readonly ProbedNode[],
  plan: DumpPlan,
): string[] {
  const { name } = primary.node;
  return [
    ...(primary.systemIdentifier === null
      ? [`there is no old cluster on ${name}: nothing can be kept, and \`pgr undo\` will not be possible`]
      : [`what ${name} wrote and did not archive is only in its kept data`]),
    ...standbys
      .filter(({ state }) => state === 'down')
      .map(
        ({ node, note }) =>
          `${node.name} does not answer: ${note ?? 'down'}; if it comes back, it is of the old cluster`,
      ),
    ...(environment.apps.length === 0
      ? ['the config names no apps: stop whatever writes to production before you approve']
      : []),
    ...(plan.ownership === 'left-out' ? ['owners, grants and passwords of roles are not in it: see --globals'] : []),
  ];
}
