/**
 * Scenario: runs that began under an older build go on under this one.
 * Verified: 1 every saved history (`<runbook>.<path>.json`, completed ones above all: an open gate replays under almost any change) replays;
 * 2 the check has teeth: an altered history is a determinism violation. Saved with PGR_SAVE_HISTORIES=1 by the workflow tests; a history
 * stays until no run of that age can exist.
 */
import { historyFromJSON } from '@temporalio/common/lib/proto-utils.js';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

jest.setTimeout(60_000);

const DIRECTORY = join(process.cwd(), 'test', 'replay', 'histories');
const names = readdirSync(DIRECTORY).filter((name) => name.endsWith('.json'));
const workflowBundle = { codePath: process.env['WF_BUNDLE'] ?? '' };

type History = {
  events: {
    activityTaskScheduledEventAttributes?: { activityType: { name: string } };
    workflowExecutionStartedEventAttributes?: { workflowId: string };
  }[];
};
const load = (name: string): History => JSON.parse(readFileSync(join(DIRECTORY, name), 'utf8')) as History;

beforeAll(() => {
  Runtime.install({
    logger: new DefaultLogger('ERROR'),
    telemetryOptions: { logging: { filter: 'off' as never, forward: {} } },
  });
});

test('every runbook has a saved history', () => {
  const runbooks = new Set(names.map((name) => name.split('.')[0]));
  expect([...runbooks].sort()).toEqual([
    'dump-promotion',
    'flip-db',
    'list-snapshots',
    'pitr',
    'promote',
    'prune-snapshots',
    'rebuild-standby',
    'restore-controller',
    'restore-dev',
    'restore-dump',
    'sandbox-keeper',
    'tell-people',
    'undo',
    'undo-rebuild',
    'window',
  ]);
});

test.each(names)('%s replays', async (name) => {
  const history = load(name);
  // Ids of children are made from it.
  const workflowId = history.events[0]?.workflowExecutionStartedEventAttributes?.workflowId;
  const replayed = Worker.runReplayHistory({ workflowBundle }, historyFromJSON(history), workflowId);
  await expect(replayed).resolves.toBeUndefined();
});

test('a history with another activity in the place of one is refused', async () => {
  const history = load('promote.by-parent.json');
  const scheduled = history.events.find(
    (event) => event.activityTaskScheduledEventAttributes?.activityType.name === 'keepOldData',
  );
  if (scheduled?.activityTaskScheduledEventAttributes === undefined) throw new Error('the history keeps no old data');
  scheduled.activityTaskScheduledEventAttributes.activityType.name = 'wipeOldData';
  await expect(Worker.runReplayHistory({ workflowBundle }, historyFromJSON(history))).rejects.toThrow(
    DeterminismViolationError,
  );
});
