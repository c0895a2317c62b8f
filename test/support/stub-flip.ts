/** Flip and rebuild as they usually go, for workflow tests. */
import type { HostActivities, OrchestratorActivities } from '../../shared/contracts/activities.js';
import type { Lsn } from '../../shared/lsn.js';
import { check, flipPlan, rebuildPlan, safetyCopy, topology } from './flip-fixtures.js';

type FlipNames = 'readTopology' | 'planFlip' | 'fenceRouting' | 'releaseRouting';
type HostNames =
  | 'checkFlipHost'
  | 'flipWrites'
  | 'fenceOldPrimary'
  | 'releaseOldPrimary'
  | 'backfillArchive'
  | 'rejoinOldPrimary'
  | 'planRebuild'
  | 'stopStandby'
  | 'takeSafetyCopy'
  | 'copyStandby'
  | 'startStandby'
  | 'returnSafetyCopy'
  | 'listSafetyCopies'
  | 'pruneSafetyCopies';

export type FlipActivity = HostNames;

type Of = (environment: string) => { hosts: { primary: string; standby: string } };

export function usualFlipOrchestrator(of: Of): Pick<OrchestratorActivities, FlipNames> {
  return {
    readTopology: ({ environment }) => Promise.resolve(topology(environment, of(environment).hosts)),
    planFlip: (input) => Promise.resolve(flipPlan(input, of(input.environment).hosts)),
    fenceRouting: ({ node }) =>
      Promise.resolve({ outcome: 'fenced', proof: [`lb1: ${node} is in maint, 0 sessions`], failed: [] }),
    releaseRouting: () => Promise.resolve({ outcome: 'released' }),
  };
}

export function usualFlipHost(of: Of): Pick<HostActivities, HostNames> {
  return {
    checkFlipHost: ({ node }) => Promise.resolve({ checks: [check(`disk of ${node}`)] }),
    flipWrites: ({ plan }) =>
      Promise.resolve({
        outcome: 'flipped',
        timeline: plan.to.timeline + 1,
        switchLsn: '0/5B0000D8' as Lsn,
        shutdownLsn: plan.failover ? null : ('0/5B0000A0' as Lsn),
        writeOutageMs: 120,
        phases: [
          { name: 'paused', atMs: 1 },
          { name: 'promoted', atMs: 90 },
        ],
        notes: [],
        lost: plan.failover ? null : { commits: [], exact: true },
      }),
    fenceOldPrimary: ({ node }) =>
      Promise.resolve({ outcome: 'fenced', proof: [`${node}: no postmaster`], failed: [] }),
    releaseOldPrimary: () => Promise.resolve({ outcome: 'released' }),
    backfillArchive: () =>
      Promise.resolve({
        present: 3,
        pushed: [],
        firstOnNewTimeline: '00000002000000000000005B',
        checks: [check('archive-continuous')],
      }),
    rejoinOldPrimary: ({ timeline }) =>
      Promise.resolve({
        outcome: 'rejoined',
        method: 'restart',
        timeline,
        seconds: 1,
        lost: { commits: [], exact: true },
      }),
    planRebuild: (input) => Promise.resolve(rebuildPlan(input, of(input.environment).hosts)),
    stopStandby: () => Promise.resolve({ outcome: 'stopped', proof: ['no postmaster'] }),
    takeSafetyCopy: ({ environment, plan, runId }) =>
      Promise.resolve({ outcome: 'taken', copy: safetyCopy(environment, plan.node.host, runId), seconds: 1 }),
    copyStandby: ({ plan }) =>
      Promise.resolve({ outcome: 'copied', method: plan.method, bytes: plan.copyBytes, seconds: 10 }),
    startStandby: () => Promise.resolve({ timeline: 1, lagBytes: 0, seconds: 1, checks: [check('streaming')] }),
    returnSafetyCopy: ({ plan }) => Promise.resolve({ outcome: 'returned', setAside: `${plan.node.dataDir}.undone` }),
    listSafetyCopies: () => Promise.resolve({ copies: [] }),
    pruneSafetyCopies: ({ names }) => Promise.resolve({ removed: names, kept: [] }),
  };
}
