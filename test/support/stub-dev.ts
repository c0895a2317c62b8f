/** The refresh of a developer's database as it usually goes, for workflow tests. */
import type { HostActivities } from '../../shared/contracts/activities.js';
import type { DevPhaseResult, DevPlan, PlanDevInput } from '../../shared/contracts/dev.js';

export type DevActivity = 'planDevRestore' | 'fetchDevDump' | 'prepareDevTarget' | 'runDevPhase';

/** The plan that the stub makes of an input. */
function devPlan(input: Omit<PlanDevInput, 'requestedAt'>, more: Partial<DevPlan> = {}): DevPlan {
  return {
    ...{ environment: input.environment, host: input.host, mode: input.mode, source: input.source ?? 'nightly' },
    sourceKind: 's3',
    dump: {
      id: 'daily/2026/11/21/shop.dump',
      name: 'shop.dump',
      bytes: 7_500_000_000,
      createdAt: '2026-11-21T03:00:00Z',
    },
    path: '/var/lib/pgr/restore-dev/dumps/shop.dump',
    target: {
      ...{ kind: 'server', host: '127.0.0.1', port: 5432, user: 'postgres', password: input.password },
      ...{ database: 'shop_dev', systemIdentifier: '7577000000000000001' },
    },
    ...{
      jobs: 4,
      deferred: input.mode === 'full' ? [] : ['visits'],
      skipMatviews: [],
      postRestore: [],
      postDeferred: [],
    },
    ...{ defaultPartitions: true, fastSettings: true, replaces: { bytes: 1 }, warnings: [], hash: 'dev-plan-hash-1' },
    ...more,
  };
}

const DONE: DevPhaseResult = {
  outcome: 'done',
  seconds: 1,
  bytes: 0,
  tables: 0,
  deferred: [],
  problems: [],
  notes: [],
};

/** The activities around a developer's database. */
export function usualDev(): Pick<HostActivities, DevActivity> {
  return {
    planDevRestore: (input) => Promise.resolve(devPlan(input)),
    fetchDevDump: ({ plan }) =>
      Promise.resolve({
        outcome: 'fetched',
        file: { path: plan.path, format: 'custom', compression: 'none', bytes: plan.dump.bytes, whole: false },
        seconds: 3,
      }),
    prepareDevTarget: ({ plan }) =>
      Promise.resolve({
        outcome: 'already-running',
        systemIdentifier: plan.target.systemIdentifier ?? '',
        url: 'postgresql://postgres@127.0.0.1:5432/shop_dev',
      }),
    runDevPhase: ({ plan, phase }) =>
      Promise.resolve(
        phase === 'load'
          ? { ...DONE, bytes: 5_000_000_000, tables: 40, deferred: plan.deferred.map((name) => `public.${name}`) }
          : DONE,
      ),
  };
}
