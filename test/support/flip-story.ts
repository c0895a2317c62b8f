/**
 * Stories of flips that go wrong, and what plays them on a routed pair: an activity in a process of its own is frozen at a fault point, trouble is made
 * exactly there, the activity goes on (or dies), and what a workflow does follows: retry, plan again after an undo, rejoin.
 */
import fc from 'fast-check';
import pg from 'pg';
import { setTimeout as delay } from 'node:timers/promises';

import { createRebuildActivities } from '../../activities/postgres/rebuild/index.js';
import type { FlipInput, FlipResult, RejoinResult } from '../../shared/contracts/flip.js';
import type { Observer } from './flip-observer.js';
import { waitFor } from './flip-scene.js';
import type { FlipSteps, StepEnd } from './flip-steps.js';
import { signalServer, type RoutedScene } from './routed-scene.js';

const PLANNED = ['paused', 'fenced', 'stopped', 'promoting', 'promoted', 'routed', 'resumed'] as const;
const FAILOVER = ['fenced', 'promoting', 'promoted', 'routed', 'resumed'] as const;
const UNDO = ['started', 'unfenced', 'routed', 'restored'] as const;
const REJOIN = ['stopped', 'configured', 'started'] as const;
const TROUBLES = [
  'none',
  'worker-dies',
  'worker-freezes',
  'haproxy-dies',
  'haproxy-freezes',
  'candidate-dies',
  'pooler-dies',
  'pooler-cannot-pause',
  'primary-dies',
  'primary-freezes',
] as const;

export type Story = {
  kind: 'planned' | 'primary-killed' | 'primary-frozen';
  mode: 'stop' | 'cut';
  at: (typeof PLANNED)[number];
  trouble: (typeof TROUBLES)[number];
  /** The worker dies there when an undo comes that far. */
  undoDeath: (typeof UNDO)[number] | null;
  rejoinDeath: (typeof REJOIN)[number] | null;
  /** The trouble lasts until after the second attempt. */
  lasts: boolean;
  forMs: number;
};

export const anyStory: fc.Arbitrary<Story> = fc.oneof(
  { weight: 7, arbitrary: storyOf(fc.constant('planned'), PLANNED, TROUBLES) },
  // While clients wait and the old primary can still come back.
  { weight: 7, arbitrary: storyOf(fc.constant('planned'), PLANNED.slice(0, 4), TROUBLES.slice(1)) },
  {
    weight: 2,
    arbitrary: storyOf(fc.constantFrom('primary-killed', 'primary-frozen'), FAILOVER, [
      'none',
      'worker-dies',
      'haproxy-dies',
      'candidate-dies',
    ]),
  },
);

function storyOf(
  kind: fc.Arbitrary<Story['kind']>,
  points: readonly Story['at'][],
  troubles: readonly Story['trouble'][],
): fc.Arbitrary<Story> {
  return fc.record({
    kind,
    mode: fc.constantFrom('stop' as const, 'cut' as const),
    at: fc.constantFrom(...points),
    trouble: fc.constantFrom(...troubles),
    undoDeath: fc.option(fc.constantFrom(...UNDO)),
    rejoinDeath: fc.option(fc.constantFrom(...REJOIN), { freq: 2 }),
    lasts: fc.constantFrom(true, false, false),
    forMs: fc.integer({ min: 100, max: 6_000 }),
  });
}

export type Stage = {
  routed: RoutedScene;
  steps: FlipSteps;
  observer: Observer;
  /** Of the pause guard. */
  deadlineMs: number;
  log(line: string): void;
};

/** `lost`: xids that a failover reported. */
export type Outcome = { primary: string; attempts: number; lost: ReadonlySet<string>; bothMayWrite: boolean };

const MOST_ATTEMPTS = 8;

/** Plays one story to its end: writes on the other node, and the old primary following it. Throws what breaks the model. */
export async function play(stage: Stage, story: Story, runId: string): Promise<Outcome> {
  const from = await primaryOf(stage);
  const to = from === 'dallas' ? 'chicago' : 'dallas';
  await streams(stage, to);
  const heal = healer(stage, story, from, to);
  const input = await begin(stage, story, runId, from);
  const { flip, result, attempts } = await untilFlipped(stage, story, input, heal);
  await heal();
  const bothMayWrite = story.kind === 'primary-frozen';
  if (bothMayWrite) {
    await signalServer(stage.routed.scene.cluster(from).dataDir, 'SIGCONT');
    // Long enough for health checks to see a second server that calls itself primary.
    await delay(1_500);
  }
  const lost = await rejoin(stage, story, flip, result);
  await stage.observer.progress();
  return { primary: to, attempts, lost, bothMayWrite };
}

async function primaryOf({ routed: { scene } }: Stage): Promise<string> {
  const { nodes } = await scene.topology();
  const found = nodes.filter(({ role }) => role === 'primary');
  if (found.length !== 1) throw new Error(`${String(found.length)} primaries: ${JSON.stringify(nodes)}`);
  return found[0]!.name;
}

async function streams({ routed: { scene } }: Stage, standby: string): Promise<void> {
  await waitFor(async () => {
    const rows = await scene.cluster(standby).query<{ s: string }>('select status s from pg_stat_wal_receiver');
    return rows[0]?.s === 'streaming';
  });
}

/** Makes the primary fail where the story wants a failover, and the plan. */
async function begin(stage: Stage, { kind, mode }: Story, runId: string, from: string): Promise<FlipInput> {
  const { scene } = stage.routed;
  if (kind === 'planned') return scene.flipInput(runId, { mode });
  // Looked at before: a frozen server keeps everybody waiting who asks it.
  const topology = await scene.topology((node) =>
    node.name === from ? { ...node, role: 'down', why: 'no answer', systemIdentifier: null } : node,
  );
  await signalServer(scene.cluster(from).dataDir, kind === 'primary-killed' ? 'SIGKILL' : 'SIGSTOP');
  const input = await scene.flipInput(runId, { failover: true, topology });
  if (kind === 'primary-frozen') return input;
  const fence = { environment: 'lab', node: from, run: input.run, runId };
  const dying = await stage.steps.start('fenceOldPrimary', stage.routed.configFile, fence, ['fence-old-primary:marked'])
    .ended;
  if (dying.end !== 'died') throw new Error(`fenceOldPrimary did not die: ${JSON.stringify(dying)}`);
  const end = await stage.steps.start('fenceOldPrimary', stage.routed.configFile, fence).ended;
  const fenced = end.end === 'done' ? (end.result as { outcome: string; proof: string[] }) : null;
  if (fenced?.outcome !== 'fenced') throw new Error(`a dead primary was not fenced: ${JSON.stringify(end)}`);
  return { ...input, fenceProof: fenced.proof };
}

type Flipped = { flip: FlipInput; result: FlipResult; attempts: number };

/** What the workflow does with the answers of the activity. */
async function untilFlipped(stage: Stage, story: Story, first: FlipInput, heal: () => Promise<void>): Promise<Flipped> {
  let flip = first;
  for (let attempts = 1; attempts <= MOST_ATTEMPTS; attempts += 1) {
    const end = attempts === 1 ? await troubled(stage, story, flip) : await attempt(stage, flip);
    stage.log(`  attempt ${String(attempts)}: ${wordsOf(end)}`);
    if (end.end === 'done') return { flip, result: end.result as FlipResult, attempts };
    if (end.end === 'died' && story.lasts) await resumedInTime(stage);
    if (attempts > 1 || !story.lasts) await heal();
    if (end.end !== 'failed' || end.type !== 'FlipUndone') continue;
    await requireUndone(stage, flip);
    const { mode } = story;
    if (attempts > 1 || !story.lasts) flip = await stage.routed.scene.flipInput(flip.runId, { mode });
  }
  throw new Error(`not flipped after ${String(MOST_ATTEMPTS)} attempts`);
}

const wordsOf = (end: StepEnd): string => (end.end === 'failed' ? `${end.type}: ${end.message}` : end.end);

async function attempt({ steps, routed, observer }: Stage, flip: FlipInput, faults: string[] = []): Promise<StepEnd> {
  observer.setGone(false);
  const end = await steps.start('flipWrites', routed.configFile, flip, faults).ended;
  observer.setGone(true);
  return end;
}

/** The attempt in which the trouble happens. */
async function troubled(stage: Stage, story: Story, flip: FlipInput): Promise<StepEnd> {
  const { trouble, at, undoDeath } = story;
  const undo = undoDeath === null ? [] : [`undo-flip:${undoDeath}`];
  if (trouble === 'none') return attempt(stage, flip);
  if (trouble === 'worker-dies') return attempt(stage, flip, [`flip:${at}`]);
  if (trouble === 'pooler-cannot-pause') {
    await makeTrouble(stage, story, flip);
    return attempt(stage, flip, undo);
  }
  const { steps, routed, observer } = stage;
  observer.setGone(false);
  const running = steps.start('flipWrites', routed.configFile, flip, [`flip:${at}=SIGSTOP`, ...undo]);
  if (await running.frozen()) {
    observer.setGone(true);
    await makeTrouble(stage, story, flip);
    observer.setGone(false);
    running.goOn();
  }
  const end = await running.ended;
  observer.setGone(true);
  return end;
}

const held = new WeakMap<RoutedScene, pg.Client>();

async function makeTrouble({ routed, deadlineMs }: Stage, { trouble, forMs }: Story, flip: FlipInput): Promise<void> {
  const { scene, haproxy, pgbouncer } = routed;
  const { from, to } = flip.plan;
  switch (trouble) {
    case 'worker-freezes':
      return delay(Math.min(forMs, deadlineMs + 1_500));
    case 'haproxy-dies':
      return haproxy.stop('SIGKILL');
    case 'haproxy-freezes':
      process.kill(haproxy.pid(), 'SIGSTOP');
      return;
    case 'candidate-dies':
      return signalServer(scene.cluster(to.name).dataDir, 'SIGKILL');
    case 'pooler-dies':
      return pgbouncer.stop('SIGKILL');
    case 'primary-dies':
      return signalServer(scene.cluster(from.name).dataDir, 'SIGKILL');
    case 'primary-freezes':
      return signalServer(scene.cluster(from.name).dataDir, 'SIGSTOP');
    case 'pooler-cannot-pause': {
      const client = new pg.Client({ connectionString: pgbouncer.url() });
      client.on('error', () => undefined);
      await client.connect();
      await client.query('begin');
      await client.query('select 1');
      held.set(routed, client);
      return;
    }
    case 'none':
    case 'worker-dies':
  }
}

/** Ends every trouble of the story; may be called again. */
function healer({ routed }: Stage, story: Story, from: string, to: string): () => Promise<void> {
  const { scene, haproxy, pgbouncer } = routed;
  return async () => {
    await held
      .get(routed)
      ?.end()
      .catch(() => undefined);
    held.delete(routed);
    if (haproxy.pid() !== 0) process.kill(haproxy.pid(), 'SIGCONT');
    await haproxy.start();
    await pgbouncer.start();
    if (story.trouble === 'primary-freezes') await signalServer(scene.cluster(from).dataDir, 'SIGCONT');
    await scene.cluster(to).start();
  };
}

async function resumedInTime({ routed, deadlineMs }: Stage): Promise<void> {
  if (routed.pgbouncer.pid() === 0) return;
  await waitFor(async () => {
    const rows = await routed.pgbouncer.admin<{ name: string; paused: number }>('SHOW DATABASES');
    return rows.every(({ name, paused }) => name === 'pgbouncer' || paused === 0);
  }, deadlineMs + 3_000);
}

async function requireUndone(stage: Stage, { plan }: FlipInput): Promise<void> {
  const now = await primaryOf(stage);
  if (now !== plan.from.name) throw new Error(`undone, but ${now} is the primary`);
  if (stage.observer.paused()) throw new Error('undone, but clients are paused');
}

/** Xids that the old primary had alone. */
async function rejoin(stage: Stage, story: Story, flip: FlipInput, result: FlipResult): Promise<ReadonlySet<string>> {
  const { from, to } = flip.plan;
  const { run, runId } = flip;
  const expect = { systemIdentifier: flip.plan.to.systemIdentifier, dataDir: from.dataDir, host: from.host };
  const input = { environment: 'lab', node: from.name, run, runId, to: to.name, expect, timeline: result.timeline };
  const faults = story.rejoinDeath === null ? [] : [`rejoin-old-primary:${story.rejoinDeath}`];
  for (let attempts = 1; attempts <= 3; attempts += 1) {
    const end = await stage.steps.start(
      'rejoinOldPrimary',
      stage.routed.configFile,
      input,
      attempts === 1 ? faults : [],
    ).ended;
    stage.log(`  rejoin: ${end.end === 'done' ? (end.result as RejoinResult).outcome : wordsOf(end)}`);
    if (end.end !== 'done') continue;
    const rejoined = end.result as RejoinResult;
    if (rejoined.outcome !== 'needs-rebuild') return new Set();
    if (story.kind === 'planned') throw new Error(`a planned flip left ${from.name} to be rebuilt: ${rejoined.why}`);
    if (!rejoined.lost.exact) throw new Error(`what ${from.name} has alone could not be told: ${rejoined.why}`);
    await rebuild(stage, from.name, runId);
    return new Set(rejoined.lost.commits.map(({ xid }) => xid));
  }
  throw new Error(`${from.name} did not come back`);
}

async function rebuild({ routed }: Stage, node: string, runId: string): Promise<void> {
  const router = await routed.deps.routing('lab').open(2_000);
  // It was stopped a moment ago; what a router calls up is not rebuilt.
  await waitFor(async () => (await router.servers()).every((row) => row.node !== node || row.state !== 'up'));
  await router.close();
  const activities = createRebuildActivities(routed.deps);
  const asked = {
    environment: 'lab',
    node,
    run: 'lab/change',
    runId,
    method: 'auto',
    rateLimitKbPerSecond: null,
  } as const;
  const step = { environment: 'lab', run: 'lab/change', runId, plan: await activities.planRebuild(asked) };
  await activities.stopStandby(step);
  await activities.takeSafetyCopy(step);
  await activities.copyStandby(step);
  await activities.startStandby(step);
}
