/**
 * Scenario: the restore stream of a controller goes wrong. Verified: a stream that breaks off begins again, one that ends early with status 200 is an
 * error, a killed transfer leaves nothing that looks whole, and no wrong content gets through.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import type { FetchSpec } from '../../../activities/lib/backup-store.js';
import { P17, startController, type Controller } from '../../support/databasus-controller.js';
import { DATABASUS_DIR, describeWithBucket } from '../../support/databasus.js';
import { apiScene, atTarget, fetchOnce, fetchSpec, planFor, resultOf, type ApiScene, type Child } from './api-scene.js';

const STREAM_BYTES = 4_872_192;

let controller: Controller;
let made: ApiScene;
let spec: FetchSpec;
const children: Child[] = [];

beforeEach(async () => {
  controller = await startController();
  made = await apiScene(controller, 17);
  spec = await fetchSpec(made, await planFor(made, atTarget(made.expected)));
}, 60_000);
afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill();
    await child.ended;
  }
  await made.remove();
  await controller.stop();
});

function fetch(env?: Record<string, string>): Child {
  const child = fetchOnce(made, env);
  children.push(child);
  return child;
}

async function expectWhole(): Promise<void> {
  expect(await resultOf(made)).toMatchObject({
    files: expect.any(Number) as number,
    resolved: { stop: { kind: 'lsn' } },
  });
  const spool = await readdir(spec.wal.dir);
  expect(spool.sort()).toEqual(['000000010000000000000006', '000000010000000000000007']);
  for (const dir of spec.baseDirs) expect(await readdir(dir)).toContain('backup_manifest');
  expect(existsSync(`${spec.wal.dir}-stream`)).toBe(false);
}

/** Nothing says that it is complete, and the spool is empty. */
async function expectNothingWhole(): Promise<void> {
  expect(existsSync(path.join(made.dir, 'job', 'base-done'))).toBe(false);
  for (const dir of spec.baseDirs) {
    const note = await readFile(`${dir}.fetched`, 'utf8').catch(() => '');
    expect(note).not.toContain('"complete":true');
  }
  expect(await readdir(spec.wal.dir).catch(() => [])).toEqual([]);
}

/** The stream in small pieces with pauses, so that there is a middle. */
function slow(pauseMs = 20): () => AsyncGenerator<Buffer> {
  return async function* () {
    const content = await readFile(path.join(DATABASUS_DIR, 'api', 'restore-stream-p17.tar'));
    for (let at = 0; at < content.length; at += 200_000) {
      yield content.subarray(at, at + 200_000);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };
}

function changed(change: (content: Buffer) => Buffer): () => AsyncGenerator<Buffer> {
  return async function* () {
    yield change(Buffer.from(await readFile(path.join(DATABASUS_DIR, 'api', 'restore-stream-p17.tar'))));
  };
}

async function untilStreaming(): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!(await readdir(path.join(made.dir, 'fetch', 'base-0')).catch(() => [])).length) {
    if (Date.now() > deadline) throw new Error('the fetch does not begin');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describeWithBucket('a restore stream that goes wrong', () => {
  test('a connection that breaks in the middle begins the stream again, with another token', async () => {
    controller.faults.breakAt = [3_000_000];
    expect(await fetch().ended).toBe(0);
    expect(controller.streams()).toBe(2);
    await expectWhole();
  }, 60_000);

  test('a stream that ends early with status 200 is tried once more, then it is an error and nothing looks whole', async () => {
    controller.faults.cutAt = [STREAM_BYTES - 500_000, STREAM_BYTES - 2_000];
    expect(await fetch().ended).toBe(1);
    expect(await resultOf(made)).toMatchObject({
      failure: { type: 'BackupCorrupt', message: expect.stringMatching(/is not whole: it ends/) as string },
    });
    expect(controller.streams()).toBe(2);
    await expectNothingWhole();
  }, 60_000);

  test('a controller that restarts in the middle loses its tokens: another one is asked for', async () => {
    controller.databases.get(P17)!.stream = slow();
    const child = fetch();
    await untilStreaming();
    controller.databases.get(P17)!.stream = slow(0);
    controller.faults.statuses = [502, 502, 502];
    controller.restart();
    expect(await child.ended).toBe(0);
    expect(controller.streams()).toBe(2);
    await expectWhole();
  }, 60_000);

  test('a transfer that is killed in the middle leaves nothing that looks whole, and begins again', async () => {
    controller.databases.get(P17)!.stream = slow();
    const child = fetch();
    await untilStreaming();
    child.kill();
    await child.ended;
    await expectNothingWhole();
    controller.databases.get(P17)!.stream = slow(0);
    expect(await fetch().ended).toBe(0);
    await expectWhole();
  }, 60_000);

  test('killed after the stream was proven, it goes on without asking for it again', async () => {
    const env = { PGR_FAULT: 'databasus:streamed', PGR_FAULT_FLAG: path.join(made.dir, 'killed') };
    expect(await fetch(env).ended).toBeNull();
    expect(await fetch(env).ended).toBe(0);
    expect(controller.streams()).toBe(1);
    await expectWhole();
  }, 60_000);

  test('a download of the same user that is still open is waited for', async () => {
    controller.databases.get(P17)!.stream = slow(40);
    const first = fetch();
    await untilStreaming();
    first.kill('SIGSTOP');
    const answers = controller.requests.length;
    const other = await apiScene(controller, 17);
    try {
      await fetchSpec(other, spec.plan!);
      const second = fetchOnce(other);
      children.push(second);
      const deadline = Date.now() + 20_000;
      while (controller.requests.length < answers + 6 && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      first.kill();
      expect(await second.ended).toBe(0);
    } finally {
      await other.remove();
    }
  }, 60_000);

  test.each([
    ['in a base', 2_000_000],
    ['in a wal segment', STREAM_BYTES - 200_000],
  ])(
    'a byte that was changed %s is found before anything counts',
    async (_, at) => {
      controller.databases.get(P17)!.stream = changed((content) => {
        content[at] = (content[at] ?? 0) ^ 0xff;
        return content;
      });
      expect(await fetch().ended).toBe(1);
      expect(await resultOf(made)).toMatchObject({ failure: { type: 'BackupCorrupt' } });
      await expectNothingWhole();
    },
    60_000,
  );

  test('bases of another plan are refused', async () => {
    const plan = spec.plan!;
    const [full, incremental] = plan.baseChain;
    await fetchSpec(made, { ...plan, baseChain: [full!, { ...incremental!, startLsn: full!.startLsn }] });
    expect(await fetch().ended).toBe(1);
    expect(await resultOf(made)).toMatchObject({
      failure: { type: 'PreconditionFailed', message: expect.stringContaining('planned is') as string },
    });
    await expectNothingWhole();
  }, 60_000);

  test('a database that is another system by now is refused before anything is fetched', async () => {
    controller.databases.get(P17)!.systemIdentifier = '1234567890123456789';
    expect(await fetch().ended).toBe(1);
    expect(await resultOf(made)).toMatchObject({ failure: { type: 'IdentityMismatch' } });
    expect(controller.streams()).toBe(0);
  }, 60_000);

  test('a password that is wrong is told, and is in no message', async () => {
    controller.password = 'changed meanwhile';
    expect(await fetch().ended).toBe(1);
    const result = JSON.stringify(await resultOf(made));
    expect(result).toContain('CredentialsRefused');
    expect(result).not.toContain('a long password');
  }, 60_000);
});
