/** The plan of a developer's refresh as lines for people. */
import type { DevPlan } from './contracts/dev.js';
import type { PlanView } from './contracts/status.js';
import { formatBytes } from './run-state-plan.js';

const MODES = {
  fast: 'fast: usable first, deferred rows later',
  full: 'full: everything at once',
  deferred: 'deferred: the rows that --fast left out, into the database in use',
} as const;

/** The plan of `restore-dev`. */
export function devPlanView(plan: DevPlan): PlanView {
  const { target, dump, replaces } = plan;
  const where = `${target.host}:${String(target.port)}`;
  return {
    hash: plan.hash,
    summary: [
      `refresh database ${target.database} at ${where} from ${plan.environment}'s source ${plan.source}`,
      `dump ${dump.name} of ${dump.createdAt}, ${formatBytes(dump.bytes)}`,
      MODES[plan.mode],
      serverText(plan),
      ...(plan.mode === 'deferred' ? [] : [replacedText(plan, replaces)]),
      ...(plan.deferred.length === 0 ? [] : [`deferred: ${plan.deferred.join(', ')}`]),
      ...(plan.skipMatviews.length === 0 ? [] : [`materialized views without rows: ${plan.skipMatviews.join(', ')}`]),
      sqlText(plan),
      ...plan.warnings.map((warning) => `warning: ${warning}`),
    ],
  };
}

function serverText({ target }: DevPlan): string {
  const { kind, systemIdentifier } = target;
  if (systemIdentifier === null) return `the server is made first (${kind})`;
  return `server ${systemIdentifier}, which belongs to no environment of the config`;
}

function replacedText({ target }: DevPlan, replaces: DevPlan['replaces']): string {
  if (replaces === null) return `there is no database ${target.database} yet`;
  return `the database there (${formatBytes(replaces.bytes)}) serves until the new one is complete, then it is kept as ${target.database}__pgr_previous`;
}

function sqlText({ mode, postRestore, postDeferred }: DevPlan): string {
  const files = mode === 'deferred' ? postDeferred : postRestore;
  if (files.length === 0) return 'no SQL runs on the rows: they are those of production';
  return `before anybody can connect: ${files.map(({ path }) => path).join(', ')}`;
}
