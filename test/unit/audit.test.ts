import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { createAppendRecord, FAULT_RECORD_BEFORE_HEAD } from '../../activities/audit/append-record.js';
import { createDirectoryStore } from '../../activities/audit/directory-store.js';
import { createListRecords } from '../../activities/audit/list-records.js';
import { createReadRecord } from '../../activities/audit/read-record.js';
import type { RecordStore } from '../../activities/audit/record-store.js';
import { createVerifyRecords } from '../../activities/audit/verify-records.js';
import type { RecordEntry, RecordEntryBody } from '../../shared/contracts/record.js';
import { EMPTY_HEAD, linkEntry } from '../../shared/record-chain.js';

const RUN = 'lab/pitr/20261121-034200';
const RUN_ID = '0199aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee';
const FOLDER = 'lab.pitr.20261121-034200.0199aaaa-bbbb';

let root: string;
let store: RecordStore;
let append: ReturnType<typeof createAppendRecord>;
let verify: ReturnType<typeof createVerifyRecords>;

beforeEach(async () => {
  root = await mkdtemp(path.join(os.tmpdir(), 'pgr-records-'));
  store = createDirectoryStore(root);
  append = createAppendRecord(store);
  verify = createVerifyRecords(store);
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

const BODIES: RecordEntryBody[] = [
  { kind: 'run-started', runbook: 'pitr', environment: 'lab', requestedBy: 'ana', reason: 'test', input: {} },
  { kind: 'step-started', step: 'check-target', title: 'Check', attempt: 1 },
  { kind: 'step-done', step: 'check-target', result: { plan: 1 }, seconds: 2 },
  { kind: 'result', status: 'completed', result: null },
];

function chain(bodies: RecordEntryBody[] = BODIES, run = RUN, runId = RUN_ID): RecordEntry[] {
  const entries: RecordEntry[] = [];
  for (const [index, body] of bodies.entries()) {
    const at = `2026-11-21T03:42:0${String(index)}.000Z`;
    entries.push(linkEntry(entries.at(-1) ?? EMPTY_HEAD, { run, runId, at, body }));
  }
  return entries;
}

async function appendAll(entries: RecordEntry[]): Promise<void> {
  for (const entry of entries) await append({ environment: 'lab', entry });
}

const fileOf = (name: string): string => path.join(root, FOLDER, name);

async function problems(): Promise<string[]> {
  const result = await verify({});
  return result.problems.map(({ seq, problem }) => `${String(seq)}: ${problem}`);
}

describe('append', () => {
  test('writes one file an entry, a head, and nothing else', async () => {
    await appendAll(chain());
    expect((await readdir(path.join(root, FOLDER))).sort()).toEqual([
      '000001.json',
      '000002.json',
      '000003.json',
      '000004.json',
      'head.json',
    ]);
    expect(await verify({})).toEqual({ records: 1, entries: 4, problems: [], unfinished: [] });
  });

  test('a retry after a lost reply finds the entry there and writes nothing', async () => {
    const entries = chain();
    await appendAll(entries);
    const before = await readFile(fileOf('000002.json'), 'utf8');
    expect(await append({ environment: 'lab', entry: entries[1]! })).toEqual({ outcome: 'already-written' });
    expect(await readFile(fileOf('000002.json'), 'utf8')).toBe(before);
    expect(JSON.parse(await readFile(fileOf('head.json'), 'utf8'))).toMatchObject({ seq: 4 });
  });

  test('another content under the same number is a conflict and is not written', async () => {
    const entries = chain();
    await appendAll(entries.slice(0, 2));
    const [, other] = chain([BODIES[0]!, { kind: 'note', text: 'something else' }]);
    await expect(append({ environment: 'lab', entry: other! })).rejects.toMatchObject({
      type: 'RecordConflict',
      nonRetryable: true,
    });
    expect(await problems()).toEqual([]);
  });

  test('an entry after a hole is refused', async () => {
    const entries = chain();
    await appendAll(entries.slice(0, 1));
    await expect(append({ environment: 'lab', entry: entries[2]! })).rejects.toMatchObject({
      type: 'RecordConflict',
      message: expect.stringContaining('entry 2 is missing') as string,
    });
  });

  test('an entry whose hash does not fit its content is refused', async () => {
    const [entry] = chain();
    const forged = { ...entry!, body: { kind: 'note' as const, text: 'forged' } };
    await expect(append({ environment: 'lab', entry: forged })).rejects.toMatchObject({ type: 'RecordConflict' });
    expect(await readdir(root)).toEqual([]);
  });

  test('a directory that cannot be written is RecordUnavailable, which is retried', async () => {
    const file = path.join(root, 'file');
    await writeFile(file, '');
    const broken = createAppendRecord(createDirectoryStore(path.join(file, 'records')));
    await expect(broken({ environment: 'lab', entry: chain()[0]! })).rejects.toMatchObject({
      type: 'RecordUnavailable',
      nonRetryable: false,
    });
  });

  test('dying between entry and head leaves a record that verifies and goes on', async () => {
    const entries = chain();
    await appendAll(entries.slice(0, 1));
    await store.createEntry(FOLDER, 2, `${JSON.stringify(entries[1])}\n`);
    expect(await problems()).toEqual([]);
    expect(await append({ environment: 'lab', entry: entries[1]! })).toEqual({ outcome: 'already-written' });
    await appendAll(entries.slice(2));
    expect(await problems()).toEqual([]);
  });

  test('the process is really killed between entry and head, and the next attempt finishes', async () => {
    const script = path.join(root, '..', `${path.basename(root)}.cjs`);
    const jest = path.resolve(__dirname, '../..');
    const [entry] = chain();
    const register = `require('${jest}/node_modules/@swc/core')`;
    await writeFile(
      script,
      [
        `const swc = ${register};`,
        `const fs = require('fs'), Module = require('module'), path = require('path');`,
        `require.extensions['.ts'] = (m, f) => m._compile(swc.transformFileSync(f, { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'commonjs' } }).code, f);`,
        `const resolve = Module._resolveFilename;`,
        `Module._resolveFilename = (r, ...rest) => resolve(r.startsWith('.') && r.endsWith('.js') && rest[0].filename.endsWith('.ts') ? r.replace(/\\.js$/, '.ts') : r, ...rest);`,
        `const { createDirectoryStore } = require('${jest}/activities/audit/directory-store.ts');`,
        `const { createAppendRecord } = require('${jest}/activities/audit/append-record.ts');`,
        `createAppendRecord(createDirectoryStore(${JSON.stringify(root)}))({ environment: 'lab', entry: ${JSON.stringify(entry)} }).then(() => process.exit(0), (e) => { console.error(e); process.exit(3); });`,
      ].join('\n'),
    );
    const env = { ...process.env, PGR_FAULT: FAULT_RECORD_BEFORE_HEAD, PGR_FAULT_FLAG: `${script}.flag` };
    try {
      const killed = spawnSync(process.execPath, [script], { env, encoding: 'utf8' });
      expect(killed.signal).toBe('SIGKILL');
      expect(await readdir(path.join(root, FOLDER))).toEqual(['000001.json']);
      const again = spawnSync(process.execPath, [script], { env, encoding: 'utf8' });
      expect(again.status).toBe(0);
    } finally {
      await rm(script, { force: true });
      await rm(`${script}.flag`, { force: true });
    }
    expect((await readdir(path.join(root, FOLDER))).sort()).toEqual(['000001.json', 'head.json']);
    expect(await problems()).toEqual([]);
  });

  test('two writers of one entry: both succeed, one file, no leftovers', async () => {
    const [entry] = chain();
    const results = await Promise.all([
      append({ environment: 'lab', entry: entry! }),
      append({ environment: 'lab', entry: entry! }),
    ]);
    expect(results.map(({ outcome }) => outcome).sort()).toEqual(['already-written', 'written']);
    expect((await readdir(path.join(root, FOLDER))).sort()).toEqual(['000001.json', 'head.json']);
  });
});

describe('verify finds', () => {
  const edit = async (name: string, change: (entry: RecordEntry) => RecordEntry): Promise<void> => {
    const file = fileOf(name);
    await writeFile(file, JSON.stringify(change(JSON.parse(await readFile(file, 'utf8')) as RecordEntry)));
  };

  beforeEach(async () => {
    await appendAll(chain());
  });

  const cases: [string, () => Promise<void>, RegExp][] = [
    [
      'an edited entry',
      () => edit('000002.json', (entry) => ({ ...entry, body: { kind: 'note', text: 'nothing happened' } })),
      /^2: .*edited/,
    ],
    [
      'an edited time',
      () => edit('000003.json', (entry) => ({ ...entry, at: '2026-11-21T04:00:00.000Z' })),
      /^3: .*edited/,
    ],
    ['a missing entry in the middle', () => unlink(fileOf('000002.json')), /^3: .*(cut|reordered)/],
    ['a cut tail', () => unlink(fileOf('000004.json')), /missing at the end: cut/],
    [
      'everything cut but the first entry',
      () => Promise.all(['2', '3', '4'].map((n) => unlink(fileOf(`00000${n}.json`)))).then(() => undefined),
      /missing at the end: cut/,
    ],
    [
      'two entries that changed places',
      async () => {
        await rename(fileOf('000002.json'), fileOf('swap'));
        await rename(fileOf('000003.json'), fileOf('000002.json'));
        await rename(fileOf('swap'), fileOf('000003.json'));
      },
      /000002\.json holds entry 3/,
    ],
    ['a foreign file', () => writeFile(fileOf('notes.txt'), 'x'), /notes\.txt is not an entry/],
    ['a file that is no entry', () => writeFile(fileOf('000002.json'), '{'), /000002\.json is not readable/],
    [
      'an entry of another run',
      async () => {
        const other = chain(BODIES, 'lab/change', RUN_ID);
        await writeFile(fileOf('000002.json'), JSON.stringify(other[1]));
      },
      /belongs to the record of lab\/change/,
    ],
    [
      'an entry that was added behind the result with a chain that fits',
      async () => {
        const added = chain([...BODIES, { kind: 'note', text: 'later' }]).at(-1)!;
        await append({ environment: 'lab', entry: added });
      },
      /^5: was added after the result/,
    ],
    ['a lost head', () => unlink(fileOf('head.json')), /head/],
    ['a damaged head', () => writeFile(fileOf('head.json'), 'x'), /missing at the end|head/],
  ];

  test.each(cases)('%s', async (_title, tamper, expected) => {
    await tamper();
    const found = await problems();
    expect(found.length).toBeGreaterThan(0);
    expect(found.join('\n')).toMatch(new RegExp(expected.source, 'm'));
  });

  test('a record without a result, which is whole only while its run lives', async () => {
    const runId = '0199ffff-0000-7000-8000-000000000000';
    await appendAll(chain(BODIES.slice(0, 2), 'lab/change', runId));
    const { unfinished, problems: found } = await verify({});
    expect(found).toEqual([]);
    expect(unfinished).toEqual([{ run: 'lab/change', runId, entries: 2 }]);
  });
});

describe('read and list', () => {
  const OLD = '0198aaaa-0000-7000-8000-000000000000';

  test('the newest record of a workflow id that was used again, and the older one by its run id', async () => {
    await appendAll(chain(BODIES, 'lab/change', OLD));
    const newer = chain(BODIES, 'lab/change', RUN_ID).map((entry) => entry);
    await appendAll(newer.map((entry) => entry));
    const read = createReadRecord(store);
    const older = await read({ run: 'lab/change@0198aaaa' });
    expect(older).toMatchObject({ outcome: 'found', entries: [{ runId: OLD }, {}, {}, {}] });
    expect(await read({ run: 'lab/chang' })).toEqual({ outcome: 'none' });
    expect(await read({ run: 'nothing' })).toEqual({ outcome: 'none' });
  });

  test('lists what people look for, newest first, by environment and age', async () => {
    await appendAll(chain());
    await appendAll(chain(BODIES.slice(0, 3), 'lab/change', OLD));
    const list = createListRecords(store);
    const all = await list({});
    expect(all).toHaveLength(2);
    expect(all.find(({ run }) => run === RUN)).toEqual({
      run: RUN,
      runId: RUN_ID,
      environment: 'lab',
      runbook: 'pitr',
      requestedBy: 'ana',
      reason: 'test',
      startedAt: '2026-11-21T03:42:00.000Z',
      endedAt: '2026-11-21T03:42:03.000Z',
      status: 'completed',
      entries: 4,
    });
    expect(all.find(({ run }) => run === 'lab/change')).toMatchObject({ endedAt: null, status: null, entries: 3 });
    expect(await list({ environment: 'other' })).toEqual([]);
    expect(await list({ sinceIso: '2026-11-22T00:00:00.000Z' })).toEqual([]);
  });

  test('no directory yet is no records; a directory that cannot be read is unknown, not none', async () => {
    expect(await createListRecords(createDirectoryStore(path.join(root, 'none')))({})).toEqual([]);
    const file = path.join(root, 'file');
    await writeFile(file, '');
    await chmod(file, 0o600);
    await expect(createListRecords(createDirectoryStore(file))({})).rejects.toMatchObject({
      type: 'RecordUnavailable',
    });
  });
});
