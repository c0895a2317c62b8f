/**
 * Activities for workflow tests: typed, without effect, recording every call. One set serves many runs: each scenario is an environment
 * of its own, with its own calls, record and behaviour.
 */
import type { HostActivities, OrchestratorActivities } from '../../shared/contracts/activities.js';
import type { EnvironmentFacts, GatePolicy } from '../../shared/contracts/environment.js';
import type { Notice, SendNoticeInput } from '../../shared/contracts/notices.js';
import type { NodeStepInput } from '../../shared/contracts/promotion.js';
import type { RecordEntry } from '../../shared/contracts/record.js';
import type { SandboxRef } from '../../shared/contracts/sandbox.js';
import type { Lsn } from '../../shared/lsn.js';
import { usualController, type ControllerActivity } from './stub-controller.js';
import { usualDev, type DevActivity } from './stub-dev.js';
import { usualDump, usualDumpPromotion, type DumpActivity } from './stub-dump.js';
import { usualFlipHost, usualFlipOrchestrator, type FlipActivity } from './stub-flip.js';
import * as fixtures from './workflow-fixtures.js';

type All = OrchestratorActivities & HostActivities;
export type ActivityName = keyof All;
export type Call = { activity: ActivityName; input: unknown };
type Behaviour<Name extends ActivityName> = (
  input: Parameters<All[Name]>[0],
  usual: () => ReturnType<All[Name]>,
) => ReturnType<All[Name]>;

export type Hosts = { primary: string; standby: string };

export class Scenario {
  /** In order, without the record, notices and pings. */
  readonly calls: Call[] = [];
  readonly record: RecordEntry[] = [];
  /** As the channel of the tests got them. */
  readonly notices: Notice[] = [];
  readonly sent: SendNoticeInput[] = [];
  readonly facts: EnvironmentFacts;
  readonly #behaviours = new Map<string, Behaviour<ActivityName>>();

  constructor(
    readonly environment: string,
    readonly hosts: Hosts,
    policy: GatePolicy,
  ) {
    this.facts = fixtures.environmentFacts(environment, hosts, policy);
  }

  /** Replaces what an activity does; `usual` is what it would have done. */
  on<Name extends ActivityName>(activity: Name, behaviour: Behaviour<Name>): this {
    this.#behaviours.set(activity, behaviour);
    return this;
  }

  /** The next `times` calls of an activity fail. */
  fail(activity: ActivityName, failure: Error, times = 1): this {
    let left = times;
    const behaviour = (_input: unknown, usual: () => Promise<unknown>): Promise<unknown> => {
      left -= 1;
      return left >= 0 ? Promise.reject(failure) : usual();
    };
    this.#behaviours.set(activity, behaviour as Behaviour<ActivityName>);
    return this;
  }

  behaviourOf(activity: string): Behaviour<ActivityName> | undefined {
    return this.#behaviours.get(activity);
  }

  /** Names of the activities called, in order. */
  names(): ActivityName[] {
    return this.calls.map((call) => call.activity);
  }

  inputsOf<Name extends ActivityName>(activity: Name): Parameters<All[Name]>[0][] {
    return this.calls
      .filter((call) => call.activity === activity)
      .map((call) => call.input as Parameters<All[Name]>[0]);
  }

  /** Record entries of a run and kind. */
  entries<Kind extends RecordEntry['body']['kind']>(
    kind: Kind,
    run?: string,
  ): Extract<RecordEntry['body'], { kind: Kind }>[] {
    return this.record
      .filter((entry) => entry.body.kind === kind && (run === undefined || entry.run === run))
      .map((entry) => entry.body as Extract<RecordEntry['body'], { kind: Kind }>);
  }
}

export type Stubs = { orchestrator: OrchestratorActivities; host: HostActivities; add(scenario: Scenario): Scenario };

const QUIET: ActivityName[] = ['appendRecord', 'notify', 'listChannels', 'sendNotice', 'pingHost'];

/** One set of activities for one worker. */
export function createStubs(): Stubs {
  const scenarios = new Map<string, Scenario>();
  const usual = usualActivities((environment) => {
    const scenario = scenarios.get(environment);
    if (scenario === undefined) throw new Error(`no scenario ${environment}`);
    return scenario;
  });
  const stub = (name: string, call: (input: never) => Promise<unknown>) => async (input: unknown) => {
    const scenario = scenarios.get(environmentOf(input)) ?? [...scenarios.values()].at(-1);
    const activity = name as ActivityName;
    if (scenario !== undefined && !QUIET.includes(activity)) scenario.calls.push({ activity, input });
    const behaviour = scenario?.behaviourOf(name);
    const asUsual = (): Promise<unknown> => call(input as never);
    return behaviour === undefined ? asUsual() : behaviour(input as never, asUsual as never);
  };
  const wrap = <T extends object>(activities: T): T =>
    Object.fromEntries(Object.entries(activities).map(([name, call]) => [name, stub(name, call as never)])) as T;
  return {
    orchestrator: wrap(usual.orchestrator),
    host: wrap(usual.host),
    add(scenario) {
      scenarios.set(scenario.environment, scenario);
      return scenario;
    },
  };
}

function environmentOf(input: unknown): string {
  const fields = (input ?? {}) as { environment?: string; ref?: SandboxRef; subject?: { environment: string } };
  return fields.environment ?? fields.ref?.environment ?? fields.subject?.environment ?? '';
}

function usualActivities(of: (environment: string) => Scenario): {
  orchestrator: OrchestratorActivities;
  host: HostActivities;
} {
  return {
    orchestrator: usualOrchestrator(of),
    host: {
      ...usualSandbox(of),
      ...usualDump(),
      ...usualDev(),
      ...usualController(),
      ...usualPromotion(of),
      ...usualFlipHost(of),
    },
  };
}

function usualOrchestrator(of: (environment: string) => Scenario): OrchestratorActivities {
  return {
    readEnvironment: ({ environment }) => Promise.resolve(of(environment).facts),
    appendRecord: ({ environment, entry }) => {
      const { record } = of(environment);
      const there = record.find((one) => one.runId === entry.runId && one.seq === entry.seq);
      if (there === undefined) record.push(entry);
      return Promise.resolve({ outcome: there === undefined ? 'written' : 'already-written' });
    },
    readRecord: () => Promise.resolve({ outcome: 'none' }),
    listRecords: () => Promise.resolve([]),
    verifyRecords: () => Promise.resolve({ records: 0, entries: 0, problems: [], unfinished: [] }),
    verifySignature: ({ signature }) =>
      Promise.resolve(
        signature === 'good' ? { valid: true, why: null } : { valid: false, why: 'not an allowed signer' },
      ),
    notify: () => Promise.resolve(),
    listChannels: () => Promise.resolve({ channels: ['log'] }),
    sendNotice: (input) => {
      of(input.subject.environment).notices.push(input.notice);
      of(input.subject.environment).sent.push(input);
      return Promise.resolve({ outcome: 'sent', memory: {} });
    },
    checkChannels: () => Promise.resolve({ checks: [] }),
    verifyWrites: ({ expectNode, expectTimeline }) =>
      Promise.resolve({ node: expectNode, timeline: expectTimeline, milliseconds: 4, checks: [] }),
    pauseBackups: () => Promise.resolve({ provider: 's3', outcome: 'paused', note: '' }),
    resumeBackups: () => Promise.resolve({ provider: 's3', outcome: 'resumed', note: '' }),
    abandonTimeline: () => Promise.resolve({ outcome: 'marked' }),
    ...usualFlipOrchestrator(of),
  };
}

type SandboxActivity =
  | 'pingHost'
  | 'readWindow'
  | 'checkEnvironment'
  | 'planRecovery'
  | 'prepareSandbox'
  | 'restoreBase'
  | 'combineIncrementals'
  | 'replayWal'
  | 'verifySandbox'
  | 'readSandbox'
  | 'discardSandbox'
  | 'takeBase';

function usualSandbox(of: (environment: string) => Scenario): Pick<HostActivities, SandboxActivity> {
  return {
    pingHost: ({ host }) => Promise.resolve({ host }),
    readWindow: ({ environment }) =>
      Promise.resolve({
        environment,
        systemIdentifier: fixtures.SYSTEM_IDENTIFIER,
        timeline: 1,
        earliest: '2026-11-21T03:01:00.000000Z',
        latest: '2026-11-21T03:42:29.000000Z',
        lastCommit: null,
        bases: [],
        holes: [],
        warnings: [],
      }),
    checkEnvironment: () => Promise.resolve({ checks: fixtures.GOOD_EVIDENCE }),
    planRecovery: ({ environment, host, target }) =>
      Promise.resolve(fixtures.recoveryPlan(of(environment).environment, host, { target })),
    prepareSandbox: ({ ref }) =>
      Promise.resolve({
        dir: `/srv/sandboxes/${ref.sandbox}`,
        dataDir: `/srv/sandboxes/${ref.sandbox}/data`,
        port: 15_400,
        url: 'postgresql://127.0.0.1:15400/postgres',
      }),
    restoreBase: () =>
      Promise.resolve({ baseBytes: 1, walBytes: 1, fetchedBytes: 2, seconds: 5, files: 10, chunksVerified: 1 }),
    combineIncrementals: () =>
      Promise.resolve({ outcome: 'nothing-to-combine', method: 'rename', seconds: 1, verifiedBy: 'pg_verifybackup' }),
    replayWal: () =>
      Promise.resolve({
        replayLsn: '0/5A0001C8' as Lsn,
        replayedTo: '2026-11-21T03:41:59.000000Z',
        logLine: 'recovery stopping after WAL location (LSN) "0/5A0001C8"',
        seconds: 3,
        pid: 4242,
        port: 15_400,
      }),
    verifySandbox: () => Promise.resolve({ ok: true, checks: fixtures.GOOD_EVIDENCE, counts: [], seconds: 1 }),
    readSandbox: () => Promise.resolve({ state: 'paused', dir: '', port: null, url: null, replayLsn: null }),
    discardSandbox: () => Promise.resolve({ outcome: 'discarded', freedBytes: 1 }),
    takeBase: ({ kind }) =>
      Promise.resolve({
        id: 'base-2',
        kind,
        timeline: 1,
        startLsn: '0/2',
        stopLsn: '0/3',
        bytes: 1,
        rawBytes: 1,
        seconds: 1,
      }),
  };
}

function usualPromotion(
  of: (environment: string) => Scenario,
): Omit<HostActivities, SandboxActivity | DumpActivity | DevActivity | FlipActivity | ControllerActivity> {
  const nodeOf = ({ expect }: NodeStepInput): string => expect.dataDir;
  return {
    planPromotion: ({ environment, ref, runId }) =>
      Promise.resolve(fixtures.promotionPlan(environment, ref, of(environment).hosts, runId)),
    stopApp: () => Promise.resolve({ outcome: 'stopped', status: 'stopped' }),
    startApp: () => Promise.resolve({ outcome: 'started', status: 'running' }),
    captureTail: () =>
      Promise.resolve({
        outcome: 'captured',
        lastLsn: '0/5B000000' as Lsn,
        lastSegment: '00000001000000000000005A',
        lastCommit: { xid: '760', lsn: '0/5AFFFF00' as Lsn, time: '2026-11-21T03:43:59.000000Z' },
        seconds: 1,
      }),
    fenceNode: () => Promise.resolve({ outcome: 'stopped', proof: ['no postmaster'] }),
    startNode: ({ node }) =>
      Promise.resolve({ outcome: 'started', role: node === 'dallas' ? 'primary' : 'standby', timeline: 1, pid: 1 }),
    keepOldData: (input) =>
      Promise.resolve({
        outcome: 'kept',
        keptDataDir: `${nodeOf(input)}.kept`,
        systemIdentifier: fixtures.SYSTEM_IDENTIFIER,
        clusterState: 'shut down',
      }),
    returnOldData: (input) => Promise.resolve({ outcome: 'returned', dataDir: nodeOf(input) }),
    swapIn: (input) =>
      Promise.resolve({ outcome: 'swapped', dataDir: nodeOf(input), settingsFrom: 'kept data', stripped: [] }),
    swapOut: (input) => Promise.resolve({ outcome: 'swapped-out', setAsideDir: `${nodeOf(input)}.undone` }),
    endRecovery: () =>
      Promise.resolve({ outcome: 'promoted', timeline: 2, switchLsn: '0/5A0001C8' as Lsn, historyArchived: true }),
    rebaseline: () =>
      Promise.resolve({
        baseId: 'base-2',
        timeline: 2,
        stopLsn: '0/5C000000' as Lsn,
        bytes: 1,
        archivedSegment: '00000002000000000000005C',
        seconds: 2,
      }),
    rebuildStandby: () =>
      Promise.resolve({
        outcome: 'rebuilt',
        keptDataDir: '/srv/chicago/data.kept',
        timeline: 2,
        lagBytes: 0,
        seconds: 2,
      }),
    ...usualDumpPromotion(of),
    finishPromotion: () => Promise.resolve({ outcome: 'finished' }),
    planUndo: ({ environment, runId }) => Promise.resolve(fixtures.undoPlan(environment, of(environment).hosts, runId)),
  };
}
