/** Values for workflow tests: one environment with a primary, a standby and an application, and a plan to recover it. */
import type { EnvironmentFacts, GatePolicy } from '../../shared/contracts/environment.js';
import type { RecoveryPlan } from '../../shared/contracts/plan.js';
import type { PlannedNode, PromotionPlan, UndoPlan } from '../../shared/contracts/promotion.js';
import type { EvidenceCheck, SandboxRef } from '../../shared/contracts/sandbox.js';
import { keptDataDirFor } from '../../shared/ids.js';
import type { Lsn } from '../../shared/lsn.js';

const lsn = (text: string): Lsn => text as Lsn;

export const SYSTEM_IDENTIFIER = '7576123412341234123';

export function gatePolicy(more: Partial<GatePolicy> = {}): GatePolicy {
  return {
    required: 1,
    from: [],
    notRequester: false,
    expiresInSeconds: 86_400,
    remindEverySeconds: 0,
    identity: 'declared',
    ...more,
  };
}

export function environmentFacts(
  environment: string,
  hosts: { primary: string; standby: string },
  policy: GatePolicy,
): EnvironmentFacts {
  return {
    environment,
    nodes: [
      { name: 'dallas', host: hosts.primary },
      { name: 'chicago', host: hosts.standby },
    ],
    apps: [{ name: 'shop', host: hosts.primary }],
    sandboxHost: hosts.primary,
    sandboxTtlSeconds: 86_400,
    approvals: { promote: policy },
    defaultPolicy: policy,
    ui: 'http://127.0.0.1:8233',
    namespace: 'default',
  };
}

export function recoveryPlan(environment: string, host: string, more: Partial<RecoveryPlan> = {}): RecoveryPlan {
  return {
    environment,
    target: { kind: 'time', value: '2026-11-21T03:42:00.000000Z' },
    timeline: 1,
    stop: { kind: 'lsn', lsn: lsn('0/5A0001C8'), inclusive: true },
    boundary: {
      kept: { xid: '741', lsn: lsn('0/5A0001C8'), time: '2026-11-21T03:41:59.000000Z' },
      dropped: { xid: '742', lsn: lsn('0/5A0002F0'), time: '2026-11-21T03:42:01.000000Z' },
    },
    lost: { commits: 12, exact: true, seconds: 30, until: '2026-11-21T03:42:29.000000Z' },
    baseChain: [
      {
        id: 'base-1',
        kind: 'full',
        startedAt: '2026-11-21T03:00:00.000000Z',
        endedAt: '2026-11-21T03:01:00.000000Z',
        startLsn: lsn('0/2000028'),
        stopLsn: lsn('0/2000100'),
        timeline: 1,
        parentId: null,
        bytes: 1_000_000,
        rawBytes: 4_000_000,
      },
    ],
    fetch: {
      baseBytes: 1_000_000,
      walBytes: 16_000_000,
      walSegments: 1,
      firstSegment: '000000010000000000000002',
      lastSegment: '00000001000000000000005A',
    },
    replayBytes: 16_000_000,
    space: { path: '/data', needBytes: 20_000_000, availableBytes: 200_000_000 },
    estimate: { restoreSeconds: 5, replaySeconds: 3, totalSeconds: 8 },
    systemIdentifier: SYSTEM_IDENTIFIER,
    postgresMajor: 18,
    walSegmentBytes: 16_777_216,
    minimumSettings: {
      maxConnections: 100,
      maxWorkerProcesses: 8,
      maxWalSenders: 10,
      maxPreparedTransactions: 0,
      maxLocksPerTransaction: 64,
    },
    host,
    warnings: [],
    hash: 'plan-hash-1',
    ...more,
  };
}

export const GOOD_EVIDENCE: EvidenceCheck[] = [
  { check: 'target-reached', expected: '0/5A0001C8', actual: '0/5A0001C8', ok: true },
  { check: 'first-dropped-absent', expected: 'aborted or unknown', actual: 'unknown', ok: true },
];

export function plannedNode(
  name: 'dallas' | 'chicago',
  host: string,
  runId: string,
  more: Partial<PlannedNode> = {},
): PlannedNode {
  const dataDir = `/srv/${name}/data`;
  return {
    name,
    host,
    dataDir,
    keptDataDir: keptDataDirFor(dataDir, runId),
    state: 'running',
    role: name === 'dallas' ? 'primary' : 'standby',
    systemIdentifier: SYSTEM_IDENTIFIER,
    timeline: 1,
    ...more,
  };
}

export function promotionPlan(
  environment: string,
  ref: SandboxRef,
  hosts: { primary: string; standby: string },
  runId: string,
): PromotionPlan {
  return {
    environment,
    ref,
    primary: plannedNode('dallas', hosts.primary, runId),
    standbys: [plannedNode('chicago', hosts.standby, runId)],
    sandboxDataDir: `/srv/sandboxes/${ref.sandbox}/data`,
    lostUntil: '2026-11-21T03:42:29.000000Z',
    lostSeconds: 30,
    apps: ['shop'],
    backups: 's3',
    warnings: [],
    hash: 'promotion-hash-1',
  };
}

export function undoPlan(environment: string, hosts: { primary: string; standby: string }, runId: string): UndoPlan {
  return {
    environment,
    ofRun: `${environment}/change`,
    primary: plannedNode('dallas', hosts.primary, runId),
    standbys: [plannedNode('chicago', hosts.standby, runId)],
    lostSince: '2026-11-21T04:00:00.000000Z',
    warnings: [],
    hash: 'undo-hash-1',
  };
}
