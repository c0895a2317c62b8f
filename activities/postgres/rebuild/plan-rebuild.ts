/**
 * The plan of a rebuild: whether the node may be touched at all (invariant 2), from whom its new data come, which way and at what cost. Changes nothing;
 * whatever is wrong is a refusal that says so.
 */
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';

import type { PlanRebuildInput, RebuildPlan } from '../../../shared/contracts/rebuild.js';
import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import { canonicalJson } from '../../../shared/canonical-json.js';
import { jobIdFor } from '../../../shared/ids.js';
import { sha256Hex } from '../../../shared/sha256.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, nodeNamed } from '../../lib/environment-config.js';
import { stepFailure } from '../../lib/failure.js';
import { CLEAN_STATES, readControlData, type ControlData } from '../control-data.js';
import { directoryState, ownerOf, pathExists } from '../data-directory.js';
import { requireThisHost } from '../promotion/node-place.js';
import { plannedNode, probeNodes, type ProbedNode } from '../promotion/probe-nodes.js';
import { slotNameFor } from '../standby/standby-settings.js';
import { refusePrimary } from './peer.js';
import { chooseMethod, rewindBlocker, type Method, type MethodFacts } from './plan-method.js';
import { peerChecks, readPeer, tryReplicationLogin, type PeerFacts } from './plan-peer.js';
import { estimate, neededBytes, requireSpace, sharesBlocks, type Sizes } from './plan-space.js';
import { choosePeer, refuse, requireOwnServer } from './plan-refusals.js';
import { dryRun, type DryRunResult } from './rewind.js';
import { treeBytes } from './tree-bytes.js';

type Subject = {
  own: ProbedNode;
  peer: ProbedNode;
  dataDir: string;
  control: ControlData | null;
  systemIdentifier: string;
  walIsLink: boolean;
};

export function createPlanRebuild(deps: ActivityDeps) {
  return async function planRebuild(input: PlanRebuildInput): Promise<RebuildPlan> {
    const { environment, node, runId, rateLimitKbPerSecond } = input;
    const warnings = await refusePrimary(deps, environment, node);
    const subject = await readSubject(deps, input);
    const { own, peer, systemIdentifier } = subject;
    const streams = own.state === 'running';
    const slot = await slotNameFor(own.node, subject.control === null ? null : subject.dataDir);
    const facts = await readPeer(deps, environment, peer.node.name, { node, slot });
    const checks = [
      ...peerChecks(facts, peer.node.name, slot, streams),
      ...(await tryReplicationLogin(deps, environment, peer.node.name, systemIdentifier)),
    ];
    requireAll(checks);
    const safety = await checkProvider(deps, subject, input);
    const tried = await tryRewind(deps, input, subject, facts);
    const method = chooseMethod(methodFacts(input, subject, facts, tried));
    if (method.refusal !== null) throw refuse(method.refusal, 'ask for method auto or basebackup');
    const { sizes, note } = await sizesOf(subject, safety.inPlace, method, facts, tried, rateLimitKbPerSecond);
    const body = {
      environment,
      node: plannedNode(own, runId, systemIdentifier),
      from: plannedNode(peer, runId, systemIdentifier),
      method: method.method,
      ...(method.fallback ? { fallback: 'basebackup' as const } : {}),
      why: `${method.why}${note}`,
      ...estimate(sizes),
      rateLimitKbPerSecond,
      safetyCopy: safety.safetyCopy,
      space: await requireSpace(await standingPlace(subject.dataDir), neededBytes(sizes)),
      checks,
      warnings: [...warnings, ...safety.limits, ...warningsOf(subject, facts)],
    };
    return { ...body, hash: sha256Hex(canonicalJson(body)) };
  };
}

async function readSubject(deps: ActivityDeps, input: PlanRebuildInput): Promise<Subject> {
  const environment = environmentOf(deps.config, input.environment);
  const node = nodeNamed(environment, input.node);
  requireThisHost(node);
  const nodes = await probeNodes(deps, input.environment, environment, node.host);
  const own = nodes.find((probed) => probed.node.name === node.name);
  if (own === undefined) throw refuse(`${node.name} could not be looked at`, 'run `pgr topology`');
  const { peer, systemIdentifier } = choosePeer(nodes, own);
  const dataDir = path.resolve(node.dataDir);
  await requireOwnServer(deps.runtime(input.environment, node.name), own);
  const state = await directoryState(dataDir);
  if (state === 'other') throw refuse(`${dataDir} holds files, but no cluster`, 'see what they are and move them away');
  const control = state === 'cluster' ? await readControlData(node.binDir, dataDir) : null;
  if (control !== null && control.systemIdentifier !== systemIdentifier) {
    throw stepFailure(
      'IdentityMismatch',
      `${dataDir} holds the cluster with system identifier ${control.systemIdentifier}, ${peer.node.name} has ${systemIdentifier}`,
    );
  }
  const spaces = control === null ? [] : await readdir(path.join(dataDir, 'pg_tblspc'));
  if (spaces.length > 0) {
    throw refuse(
      `${dataDir} has tablespaces (${spaces.join(', ')}), which a safety copy would leave out`,
      'rebuild by hand',
    );
  }
  const walIsLink = control !== null && (await lstat(path.join(dataDir, 'pg_wal'))).isSymbolicLink();
  return { own, peer, dataDir, control, systemIdentifier, walIsLink };
}

function requireAll(checks: readonly EvidenceCheck[]): void {
  const wrong = checks.filter((check) => !check.ok);
  if (wrong.length === 0) return;
  const text = wrong.map(({ check, expected, actual }) => `${check}: ${actual} (expected: ${expected})`).join('; ');
  throw refuse(text, 'mend it');
}

async function checkProvider(deps: ActivityDeps, subject: Subject, input: PlanRebuildInput) {
  const provider = deps.snapshot(input.environment, input.node);
  const { problems, limits } = await provider.check();
  const inPlace = provider.kind !== 'directory';
  if (inPlace && subject.walIsLink)
    problems.push('pg_wal is a link to another place, which a snapshot would leave out');
  if (problems.length > 0) {
    throw stepFailure('SnapshotFailed', `no safety copy of ${input.node} can be taken: ${problems.join('; ')}`);
  }
  return { inPlace, limits, safetyCopy: { provider: provider.kind, name: provider.nameFor(input.runId) } };
}

function methodFacts(
  input: PlanRebuildInput,
  subject: Subject,
  peer: PeerFacts,
  tried: DryRunResult | null,
): MethodFacts {
  return {
    asked: input.method,
    from: subject.peer.node.name,
    own: subject.control === null ? null : { ...subject.control, timeline: timelineOf(subject) },
    running: subject.own.state === 'running',
    peerTimeline: subject.peer.timeline,
    peer,
    walIsLink: subject.walIsLink,
    dryRun: tried,
  };
}

/** A running standby may have replayed further than its last restartpoint. */
function timelineOf(subject: Subject): number {
  return subject.own.state === 'running' ? subject.own.timeline : (subject.control?.timeline ?? 0);
}

/** A dry run where it can say something: stopped, shut down in order, nothing else in the way. */
async function tryRewind(
  deps: ActivityDeps,
  input: PlanRebuildInput,
  subject: Subject,
  peer: PeerFacts,
): Promise<DryRunResult | null> {
  const { own, control, dataDir } = subject;
  if (input.method === 'basebackup' || own.state === 'running' || control === null) return null;
  if (!CLEAN_STATES.includes(control.state)) return null;
  if (rewindBlocker(methodFacts(input, subject, peer, null)) !== null) return null;
  return dryRun(deps, {
    environment: input.environment,
    node: own.node,
    id: jobIdFor(input.runId, `rebuild-${own.node.name}-plan`),
    dir: dataDir,
    from: subject.peer.node.name,
    owner: await ownerOf(dataDir),
  });
}

async function sizesOf(
  subject: Subject,
  inPlace: boolean,
  method: Method,
  peer: PeerFacts,
  tried: DryRunResult | null,
  rateLimitKbPerSecond: number | null,
): Promise<{ sizes: Sizes; note: string }> {
  const { dataDir } = subject;
  const copies = method.method === 'rewind' && !inPlace;
  const shared = copies && (await sharesBlocks(path.dirname(dataDir), path.join(dataDir, 'PG_VERSION')));
  const localBytes = copies && !shared ? await treeBytes(dataDir) : 0;
  const rewindBytes = tried === null ? null : tried.nothingToDo ? 0 : tried.copyBytes;
  const note = !copies
    ? ''
    : shared
      ? '; the old data are cloned first (the file system shares blocks)'
      : '; the old data are copied on this disk first (the file system cannot share blocks), which spares the primary and the network';
  return {
    sizes: {
      method: method.method,
      fallback: method.fallback,
      fullBytes: peer.bytes,
      rewindBytes,
      localBytes,
      rateLimitKbPerSecond,
    },
    note,
  };
}

/** The directory whose file system gets the new data. */
async function standingPlace(dataDir: string): Promise<string> {
  return (await pathExists(dataDir)) ? dataDir : path.dirname(dataDir);
}

function warningsOf(subject: Subject, facts: PeerFacts): string[] {
  const { own, peer } = subject;
  const warnings: string[] = [];
  if (facts.otherStandbys === 0) warnings.push(`until the end ${peer.node.name} is the only node with the data`);
  if (facts.syncState === 'sync' || facts.syncState === 'quorum') {
    warnings.push(`${own.node.name} is a synchronous standby: commits on ${peer.node.name} may wait until it is back`);
  }
  if (subject.control === null) warnings.push(`there is no cluster on ${own.node.name}: nothing can be kept`);
  if (subject.walIsLink) warnings.push('pg_wal was a link to another place: the new one lies in the data directory');
  if (own.state === 'running' && own.timeline === peer.timeline) {
    warnings.push(
      `${own.node.name} runs on the timeline of ${peer.node.name}: see with \`pgr topology\` whether it needs this`,
    );
  }
  return warnings;
}
