/**
 * The plan of a promotion, made on the host of the sandbox before anything changes: what takes whose place, what is given up, and everything
 * that would make the run fail half-way is refused here.
 */
import type { EnvironmentConfig } from '../../../config/schema.js';
import type { PlanPromotionInput, PromotionPlan } from '../../../shared/contracts/promotion.js';
import { canonicalJson } from '../../../shared/canonical-json.js';
import { sha256Hex } from '../../../shared/sha256.js';
import { secondsBetween } from '../../../shared/target-time.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf } from '../../lib/environment-config.js';
import { stepFailure } from '../../lib/failure.js';
import { placeOf } from '../sandbox/place.js';
import { createReadSandbox } from '../sandbox/read-sandbox.js';
import { readLastCommitOf } from './last-commit.js';
import { requireFreePlace, requireProductionArchives, requirePromotable } from './plan-checks.js';
import { choosePrimary, plannedNode, probeNodes, requireSameCluster, type ProbedNode } from './probe-nodes.js';

export function createPlanPromotion(deps: ActivityDeps) {
  const readSandbox = createReadSandbox(deps);
  return async function planPromotion(input: PlanPromotionInput): Promise<PromotionPlan> {
    const { ref, plan } = input;
    const environment = environmentOf(deps.config, input.environment);
    await requireArchive(deps, input.environment);
    const sandbox = placeOf(deps.config, ref);
    // A sandbox whose server went down (a reboot while the gate was open) is brought back to its target first.
    await readSandbox({ ref });
    await requirePromotable(sandbox, plan);
    const nodes = await probeNodes(deps, input.environment, environment, ref.host);
    const primary = choosePrimary(nodes, ref.host);
    requireSameCluster(nodes, plan.systemIdentifier);
    const mover = deps.snapshot(input.environment, primary.node.name);
    const place = await requireFreePlace(primary.node, sandbox, input.runId, mover);
    await requireProductionArchives(deps, input.environment, primary, sandbox);
    const lost = await readLost(deps, input, primary);
    const standbys = nodes.filter((probed) => probed !== primary);
    const body = {
      environment: input.environment,
      ref,
      primary: plannedNode(primary, input.runId, plan.systemIdentifier),
      standbys: standbys.map((probed) => plannedNode(probed, input.runId, plan.systemIdentifier)),
      sandboxDataDir: sandbox.dataDir,
      ...lost,
      apps: environment.apps.map((app) => app.name),
      backups: describeBackups(environment),
      warnings: [...plan.warnings, ...place, ...warningsOf(environment, primary, standbys)],
    };
    return { ...body, hash: sha256Hex(canonicalJson(body)) };
  };
}

/** Afterwards a base of the new primary is taken and its archive verified: a store that is only read cannot have either. */
export async function requireArchive(deps: ActivityDeps, environment: string): Promise<void> {
  const store = await deps.store(environment);
  if (store.takesBases) return;
  throw stepFailure(
    'PreconditionFailed',
    `the backup store of ${environment} (${store.kind}) is only read: the promoted primary would have no archive and no base`,
    { hint: 'put the store that production archives to under backups in the config, and this one under otherBackups' },
  );
}

export function describeBackups(environment: EnvironmentConfig): string {
  const { kind } = environment.backups;
  return `${kind}: paused during the swap; a fresh full base on the new timeline afterwards, and the archive verified`;
}

/** Commits between the boundary and the end of production's history, as far as the archive shows it. */
async function readLost(
  deps: ActivityDeps,
  input: PlanPromotionInput,
  primary: ProbedNode,
): Promise<Pick<PromotionPlan, 'lostUntil' | 'lostSeconds'>> {
  const { plan } = input;
  const timeline = primary.timeline === 0 ? plan.timeline : primary.timeline;
  const last = await readLastCommitOf(deps, input.environment, primary.node.binDir, timeline, plan.walSegmentBytes);
  const times = [last?.time ?? null, plan.lost.until].filter((time) => time !== null).sort();
  const lostUntil = times.at(-1) ?? null;
  const kept = plan.boundary.kept?.time ?? null;
  if (lostUntil === null || kept === null) return { lostUntil, lostSeconds: plan.lost.seconds };
  return { lostUntil, lostSeconds: Math.max(0, secondsBetween(kept, lostUntil)) };
}

function warningsOf(environment: EnvironmentConfig, primary: ProbedNode, standbys: readonly ProbedNode[]): string[] {
  const warnings: string[] = [];
  const { name } = primary.node;
  if (primary.state === 'down') {
    warnings.push(
      `${name} is down (${primary.note ?? 'no answer'}): what it did not archive is only in its data directory`,
    );
  }
  if (primary.systemIdentifier === null) {
    warnings.push(`there is no old cluster on ${name}: nothing can be kept, and \`pgr undo\` will not be possible`);
  }
  for (const standby of standbys) {
    if (standby.state === 'down') warnings.push(`${standby.node.name} does not answer: ${standby.note ?? 'down'}`);
  }
  if (environment.apps.length === 0) {
    warnings.push('the config names no apps: stop whatever writes to production before you approve');
  }
  return warnings;
}
