/**
 * Scenario: a target is planned by the lists of a controller, which shows its WAL only in the stream. Verified: which bases are chosen, what is
 * refused before anything is fetched, and what is said not to be known yet.
 */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import type { WindowResult } from '../../../shared/contracts/plan.js';
import type { Lsn } from '../../../shared/lsn.js';
import { P17, startController, type Controller, type ControllerRow } from '../../support/databasus-controller.js';
import { describeWithBucket } from '../../support/databasus.js';
import { apiScene, planFor, type ApiScene } from './api-scene.js';

let controller: Controller;
let made: ApiScene;

beforeEach(async () => {
  controller = await startController();
  made = await apiScene(controller, 17);
}, 60_000);
afterEach(async () => {
  await made.remove();
  await controller.stop();
});

const at = (value: string) => ({ kind: 'time' as const, value });
const rows = (): ControllerRow[] => controller.databases.get(P17)!.rows;
const row = (name: string): ControllerRow => rows().find(({ walFilename }) => walFilename?.endsWith(name))!;

async function window(): Promise<WindowResult> {
  const scratchDir = path.join(made.dir, 'scratch');
  await mkdir(scratchDir, { recursive: true });
  const store = await made.deps.store('shop');
  return store.window({ environment: 'shop', scratchDir, binDir: made.binDir, live: null });
}

/** Later segments, and an incremental base in the one with that name. */
function goOn(segments: readonly string[], incrementalIn: string): void {
  for (const [index, name] of segments.entries()) {
    const number = Number.parseInt(name, 16);
    rows().unshift({
      ...row('7'),
      id: `wal-${name}`,
      walFilename: `00000001000000000000000${name}`,
      startLsn: `0/${name}000000`,
      stopLsn: `0/${(number + 1).toString(16).toUpperCase()}000000`,
      createdAt: `2026-11-21T04:0${String(index)}:00.000000Z`,
    });
  }
  const incremental = rows().find(({ type }) => type === 'INCREMENTAL')!;
  rows().unshift({
    ...incremental,
    id: 'second-incremental',
    parentIncrementalBackupId: incremental.id,
    startLsn: `0/${incrementalIn}000028`,
    stopLsn: `0/${incrementalIn}000120`,
    createdAt: '2026-11-21T04:00:10.000000Z',
    completedAt: '2026-11-21T04:00:20.000000Z',
  });
}

describeWithBucket('a plan by the lists of a controller', () => {
  test('the window says until when wal was received, and that commits are not known', async () => {
    const seen = await window();
    expect(seen).toMatchObject({
      systemIdentifier: '7710462960820123050',
      timeline: 1,
      latest: '2026-11-21T03:35:00.254931Z',
      lastCommit: null,
      lastCommitUnknown: true,
      holes: [],
    });
    expect(seen.bases.map(({ kind, usable, startLsn }) => [kind, usable, startLsn])).toEqual([
      ['full', false, '0/3000028'],
      ['incremental', true, '0/6000028'],
    ]);
    expect(seen.warnings.join()).toContain('the last commit lies before the end');
  });

  test('a time takes the newest base before it, and the segments until it was received', async () => {
    goOn(['8', '9'], '8');
    const early = await planFor(made, at('2026-11-21T03:35:00.000000Z'));
    expect(early.baseChain.map(({ kind }) => kind)).toEqual(['full', 'incremental']);
    expect(early.fetch).toMatchObject({ walSegments: 2, lastSegment: '000000010000000000000007' });
    const late = await planFor(made, at('2026-11-21T04:00:30.000000Z'));
    expect(late.baseChain.map(({ id }) => id).at(-1)).toBe('second-incremental');
    expect(late).toMatchObject({ boundaryAfterFetch: true, fetch: { lastSegment: '000000010000000000000009' } });
  });

  test('an lsn takes the base before it; a transaction, which may be anywhere, the oldest one of the stretch', async () => {
    goOn(['8', '9'], '8');
    const early = await planFor(made, { kind: 'lsn', value: '0/7000028' as Lsn });
    expect(early.baseChain).toHaveLength(2);
    const late = await planFor(made, { kind: 'lsn', value: '0/9000028' as Lsn });
    expect(late.baseChain).toHaveLength(3);
    const xid = await planFor(made, { kind: 'xid', value: '750' });
    expect(xid.baseChain).toHaveLength(2);
    expect(xid.warnings.join()).toContain('not known before the fetch');
    const latest = await planFor(made, { kind: 'latest' });
    expect(latest.baseChain).toHaveLength(3);
  });

  test.each([
    ['before all bases', at('2026-11-21T03:00:00.000000Z'), 'TargetNotRecoverable', /lies before the window/],
    [
      'after all wal',
      at('2026-11-21T03:36:00.000000Z'),
      'TargetNotRecoverable',
      /after the wal that the controller has: .*07, was received at/,
    ],
    [
      'behind the last lsn',
      { kind: 'lsn' as const, value: '0/F000000' as Lsn },
      'TargetNotRecoverable',
      /after the wal/,
    ],
    ['in the future', at('2999-01-01T00:00:00.000000Z'), 'TargetNotRecoverable', /in the future/],
  ])('a target %s is refused before anything is fetched', async (_, target, type, text) => {
    await expect(planFor(made, target)).rejects.toMatchObject({ type, message: expect.stringMatching(text) as string });
    expect(controller.streams()).toBe(0);
  });

  test('a target in a hole of the list names what is missing and where it goes on', async () => {
    goOn(['9', 'A'], '9');
    const target = at('2026-11-21T03:50:00.000000Z');
    await expect(planFor(made, target)).rejects.toMatchObject({
      type: 'TargetInHole',
      message: expect.stringMatching(
        /wal 000000010000000000000008 is missing.*first target after it is 2026-11-21T04:00:20/,
      ) as string,
    });
    expect((await window()).holes).toMatchObject([{ firstMissing: '000000010000000000000008' }]);
  });

  test('a base that the controller broke off is not used, and lists without a base are not recoverable', async () => {
    for (const one of rows()) if (one.type !== 'WAL') one.status = 'ERROR';
    await expect(planFor(made, { kind: 'latest' })).rejects.toMatchObject({
      type: 'TargetNotRecoverable',
      message: 'the store holds no base',
    });
  });

  test('a timeline that began is followed by the names of its segments', async () => {
    const seven = row('7');
    Object.assign(seven, { walFilename: '000000020000000000000007', timelineId: 2 });
    const seen = await window();
    expect(seen).toMatchObject({ timeline: 2, holes: [] });
    expect(seen.bases.at(-1)).toMatchObject({ kind: 'incremental', usable: true });
  });
});
