/** Plans of flips and rebuilds for workflow and render tests: dallas is the primary, chicago its standby. */
import type { FlipPlan, PlanFlipInput } from '../../shared/contracts/flip.js';
import type { PlanRebuildInput, RebuildPlan, SafetyCopy } from '../../shared/contracts/rebuild.js';
import type { EvidenceCheck } from '../../shared/contracts/sandbox.js';
import type { NodeRole, Topology, TopologyNode } from '../../shared/contracts/topology.js';
import { keptDataDirFor } from '../../shared/ids.js';
import type { Lsn } from '../../shared/lsn.js';
import { plannedNode, SYSTEM_IDENTIFIER } from './workflow-fixtures.js';

type Hosts = { primary: string; standby: string };
const lsn = (text: string): Lsn => text as Lsn;

export function check(name: string, ok = true): EvidenceCheck {
  return { check: name, expected: 'good', actual: ok ? 'good' : 'bad', ok };
}

/** What a node says that does not answer. */
const SILENT = {
  timeline: null,
  lsn: null,
  receiveLsn: null,
  replayLsn: null,
  lagBytes: null,
  lagSeconds: null,
  systemIdentifier: null,
  version: null,
  receiver: null,
  sync: null,
  slot: null,
  acceptsWrites: null,
  replayPaused: false,
  pendingRestart: [],
  health: null,
};
const ANSWERS = { ...SILENT, timeline: 1, systemIdentifier: SYSTEM_IDENTIFIER, version: '18.6' };
const AT = lsn('0/5B000000');
const SAYS: Record<NodeRole, Omit<TopologyNode, 'name' | 'host' | 'address' | 'port' | 'role' | 'why'>> = {
  primary: { ...ANSWERS, lsn: AT, acceptsWrites: true },
  standby: { ...ANSWERS, receiveLsn: AT, replayLsn: AT, lagBytes: 0, receiver: 'streaming', acceptsWrites: false },
  down: SILENT,
  unknown: SILENT,
};

function topologyNode(name: 'dallas' | 'chicago', host: string, role: NodeRole): TopologyNode {
  const port = name === 'dallas' ? 5432 : 5433;
  const why = SAYS[role] === SILENT ? 'connection refused' : null;
  return { name, host, address: '127.0.0.1', port, role, why, ...SAYS[role] };
}

/** Both nodes in these roles. */
export function topology(
  environment: string,
  hosts: Hosts,
  roles: { dallas: NodeRole; chicago: NodeRole } = { dallas: 'primary', chicago: 'standby' },
): Topology {
  const owner = (['dallas', 'chicago'] as const).find((name) => roles[name] === 'primary') ?? null;
  return {
    environment,
    writeVip: { address: '127.0.0.1:5000', owner, probe: { ok: owner !== null, ms: 2, why: null } },
    nodes: [topologyNode('dallas', hosts.primary, roles.dallas), topologyNode('chicago', hosts.standby, roles.chicago)],
    slots: [],
    routers: [],
    poolers: [],
    archiver: null,
    contradictions: [],
    advice: [],
  };
}

export function flipPlan(input: PlanFlipInput, hosts: Hosts, more: Partial<FlipPlan> = {}): FlipPlan {
  const { environment, failover, mode } = input;
  const node = (name: 'dallas' | 'chicago', host: string) => ({
    name,
    host,
    dataDir: `/srv/${name}/data`,
    systemIdentifier: SYSTEM_IDENTIFIER,
    timeline: 1,
  });
  return {
    environment,
    from: { ...node('dallas', hosts.primary), role: failover ? 'down' : 'primary' },
    to: { ...node('chicago', hosts.standby), role: 'standby' },
    others: [],
    failover,
    mode,
    lagBytes: failover ? null : 0,
    expectedOutageMs: 150,
    routing: 'haproxy lb1, lb2',
    poolers: ['pool1'],
    logicalSlots: [],
    atRisk: failover
      ? { lastReceivedLsn: lsn('0/5B000000'), lastKnownPrimaryLsn: lsn('0/5B000100'), bytes: 256, ageSeconds: 12 }
      : null,
    laterTimelines: [],
    checks: [check('same-system'), ...input.hostChecks],
    warnings: [],
    hash: 'flip-hash-1',
    ...more,
  };
}

export function safetyCopy(
  environment: string,
  host: string,
  runId: string,
  more: Partial<SafetyCopy> = {},
): SafetyCopy {
  return {
    provider: 'directory',
    name: keptDataDirFor('/srv/chicago/data', runId),
    environment,
    node: 'chicago',
    host,
    run: `${environment}/change`,
    runId,
    createdAt: '2026-11-20T03:42:00.000Z',
    systemIdentifier: SYSTEM_IDENTIFIER,
    timeline: 1,
    bytes: 2_000_000_000,
    verified: true,
    ...more,
  };
}

export function rebuildPlan(
  { environment, method, rateLimitKbPerSecond, runId }: PlanRebuildInput,
  hosts: Hosts,
  more: Partial<RebuildPlan> = {},
): RebuildPlan {
  return {
    environment,
    node: plannedNode('chicago', hosts.standby, runId),
    from: plannedNode('dallas', hosts.primary, runId),
    method: method === 'auto' ? 'basebackup' : method,
    why: 'pg_rewind: could not find common ancestor of the source and target timelines',
    copyBytes: 2_000_000_000,
    estimateSeconds: 12,
    rateLimitKbPerSecond,
    safetyCopy: { provider: 'directory', name: keptDataDirFor('/srv/chicago/data', runId) },
    space: { path: '/srv/chicago', needBytes: 2_000_000_000, availableBytes: 9_000_000_000 },
    checks: [check('peer-healthy'), check('space')],
    warnings: [],
    hash: 'rebuild-hash-1',
    ...more,
  };
}
