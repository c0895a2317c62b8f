/** Scenario: a fetch is begun into a directory. Verified: it goes on with its own state only, and what cannot be read is not taken for an empty directory. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { z } from 'zod';

import { openBaseState, requireEmpty, saveBaseState } from '../../activities/backup-store/base-state.js';
import { fetchStateFileOf } from '../../activities/lib/backup-store.js';

const schema = z.object({ store: z.literal('test'), base: z.string(), isComplete: z.boolean() });
const fresh = { store: 'test' as const, base: 'b1', isComplete: false };

let parent: string;
let dir: string;
beforeEach(async () => {
  parent = await mkdtemp(path.join(tmpdir(), 'pgr-state-'));
  dir = path.join(parent, 'base-0');
});
afterEach(() => rm(parent, { recursive: true, force: true }));

const notOurs = (message: RegExp): unknown =>
  expect.objectContaining({ type: 'SandboxNotOurs', message: expect.stringMatching(message) as string });

test('a state that was saved is found again', async () => {
  await openBaseState(dir, schema, fresh, null);
  saveBaseState(dir, { ...fresh, isComplete: true }, null);
  expect(await openBaseState(dir, schema, fresh, null)).toEqual({ ...fresh, isComplete: true });
});

test('files without a state are of somebody else, and no state is written', async () => {
  await mkdir(dir);
  await writeFile(path.join(dir, 'precious'), '');
  await expect(openBaseState(dir, schema, fresh, null)).rejects.toEqual(notOurs(/not fetched: precious/));
  await expect(readFile(fetchStateFileOf(dir))).rejects.toMatchObject({ code: 'ENOENT' });
});

test('the state of another base, of another kind of store, or no state at all is refused', async () => {
  await openBaseState(dir, schema, fresh, null);
  await expect(openBaseState(dir, schema, { ...fresh, base: 'b2' }, null)).rejects.toEqual(notOurs(/another base/));
  await expect(openBaseState(dir, schema, fresh, null, () => false)).rejects.toEqual(notOurs(/another base/));
  await writeFile(fetchStateFileOf(dir), '{');
  await expect(openBaseState(dir, schema, fresh, null)).rejects.toEqual(notOurs(/was not written by this fetch/));
});

test('a directory that cannot be read is an error, not an empty one', async () => {
  await writeFile(dir, 'a file');
  await expect(requireEmpty(dir)).rejects.toMatchObject({ code: 'ENOTDIR' });
  await expect(requireEmpty(path.join(parent, 'nothing'))).resolves.toBeUndefined();
});
