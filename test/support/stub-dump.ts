/** The restore of a dump as it usually goes, for workflow tests. */
import type { HostActivities } from '../../shared/contracts/activities.js';
import type { DumpPlan, PlanDumpInput } from '../../shared/contracts/dump.js';
import type { DumpPromotionPlan } from '../../shared/contracts/promotion.js';
import type { SandboxRef } from '../../shared/contracts/sandbox.js';
import { GOOD_EVIDENCE, promotionPlan, SYSTEM_IDENTIFIER } from './workflow-fixtures.js';

export type DumpActivity = 'planDump' | 'prepareDumpSandbox' | 'restoreDump' | 'verifyDump' | 'handOverSandbox';

export const HAND_OVER_COMMANDS = ['systemctl stop postgresql@18-main.service', 'mv NEW OLD'];

/** The plan that the stub makes of an input. */
export function dumpPlan(input: Omit<PlanDumpInput, 'requestedAt'>, more: Partial<DumpPlan> = {}): DumpPlan {
  return {
    environment: input.environment,
    host: input.host,
    source: input.source,
    globals: input.globals,
    jobs: input.jobs ?? 2,
    dump: {
      format: 'custom',
      compression: 'none',
      changesDatabase: false,
      bytes: 1_000_000,
      rawBytes: 4_000_000,
      modifiedAt: '2026-11-21T02:03:00.000Z',
      takenAt: '2026-11-21T02:00:00Z',
      takenAtFrom: 'archive',
      serverVersion: '18.6',
      toolVersion: '18.6',
      database: 'shop',
      tables: 12,
      rows: 34_567,
    },
    database: 'shop',
    ownership: 'left-out',
    placeholderRoles: [],
    extensions: ['pg_trgm'],
    databaseSettings: [],
    notValidConstraints: 0,
    tableRows: [{ table: 'public.orders', rows: 34_567 }],
    cluster: {
      postgresMajor: 18,
      locale: { encoding: 'UTF8', provider: 'libc', collate: 'C.UTF-8', ctype: 'C.UTF-8', locale: null },
      localeFrom: 'the dump',
      walSegmentBytes: 16_777_216,
      preloadLibraries: [],
    },
    estimateBytes: 5_000_000,
    lost: {
      since: '2026-11-21T02:00:00Z',
      until: '2026-11-21T03:42:29Z',
      untilFrom: 'last commit of dallas',
      seconds: 6_149,
    },
    replaces: SYSTEM_IDENTIFIER,
    space: { path: '/srv/sandboxes', needBytes: 1, availableBytes: 2 },
    warnings: [],
    hash: 'dump-plan-hash-1',
    ...more,
  };
}

/** The activities around a dump. */
export function usualDump(): Pick<HostActivities, DumpActivity> {
  return {
    planDump: (input) => Promise.resolve(dumpPlan(input)),
    prepareDumpSandbox: ({ ref }) =>
      Promise.resolve({
        dir: `/srv/sandboxes/${ref.sandbox}`,
        dataDir: `/srv/sandboxes/${ref.sandbox}/data`,
        port: 15_400,
        url: 'postgresql://127.0.0.1:15400/shop',
        systemIdentifier: '7576999999999999999',
      }),
    restoreDump: ({ plan }) =>
      Promise.resolve({
        outcome: 'restored',
        bytes: 1,
        seconds: 5,
        analyzeSeconds: 1,
        errors: [],
        errorCount: 0,
        harmlessCount: 0,
        takenAt: plan.dump.takenAt,
        attempt: 1,
      }),
    verifyDump: () => Promise.resolve({ ok: true, checks: GOOD_EVIDENCE, counts: [], seconds: 1 }),
    handOverSandbox: ({ ref }) =>
      Promise.resolve({
        outcome: 'handed-over',
        dataDir: `/srv/sandboxes/${ref.sandbox}/data`,
        systemIdentifier: '7576999999999999999',
        clusterState: 'shut down',
        commands: HAND_OVER_COMMANDS,
      }),
  };
}

export const NEW_SYSTEM = '7576999999999999999';

/** The plan that the stub makes of the promotion of a dump. */
export function dumpPromotionPlan(
  environment: string,
  ref: SandboxRef,
  hosts: { primary: string; standby: string },
  runId: string,
): DumpPromotionPlan {
  const { primary, standbys, ...rest } = promotionPlan(environment, ref, hosts, runId);
  return {
    ...rest,
    primary: { ...primary, state: 'down', replacement: NEW_SYSTEM },
    standbys: standbys.map((node) => ({ ...node, replacement: NEW_SYSTEM })),
    lostUntil: '2026-11-21T03:42:29Z',
    lostSeconds: 6_149,
    oldSystemIdentifier: SYSTEM_IDENTIFIER,
    newSystemIdentifier: NEW_SYSTEM,
    settingsFrom: primary.dataDir,
    archive: 'empty',
    hash: 'dump-promotion-hash-1',
  };
}

/** What the promotion of a dump has of its own. */
export function usualDumpPromotion(
  of: (environment: string) => { hosts: { primary: string; standby: string } },
): Pick<HostActivities, 'planDumpPromotion' | 'swapInDump'> {
  return {
    planDumpPromotion: ({ environment, ref, runId }) =>
      Promise.resolve(dumpPromotionPlan(environment, ref, of(environment).hosts, runId)),
    swapInDump: ({ expect }) =>
      Promise.resolve({ outcome: 'swapped', dataDir: expect.dataDir, settingsFrom: 'kept data', stripped: [] }),
  };
}
