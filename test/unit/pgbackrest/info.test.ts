/** What `pgbackrest info` says, and what becomes of it. */
import { readCatalog } from '../../../activities/backup-store/pgbackrest/catalog.js';
import { parseInfo, parseInfoOfBase, repositoryProblems } from '../../../activities/backup-store/pgbackrest/info.js';
import {
  INFO_245,
  INFO_260,
  INFO_NO_BASE,
  INFO_NO_STANZA,
  INFO_TABLESPACE,
  INFO_TWO_REPOSITORIES,
  INFO_UNREADABLE,
} from './answers.js';

const catalogOf = (text: string, wanted: string | null = null) => readCatalog(parseInfo(text, 'main'), wanted);

function failureOf(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return null;
}

/** A recorded answer with something else in it. */
function changed(text: string, change: (stanza: Record<string, never>) => void): string {
  // Numbers that JavaScript would round.
  const documents = JSON.parse(text.replace(/("system-id":)(\d+)/g, '$1"$2"')) as [Record<string, never>];
  change(documents[0]);
  return JSON.stringify(documents);
}

test.each([
  ['2.60', INFO_260, '7710700282052249458', 18],
  ['2.45', INFO_245, '7710700303204816837', 15],
])('the system identifier of an answer of %s keeps all of its digits', (_, text, systemIdentifier, postgresMajor) => {
  const { bases, archives, notes, systemIdentifier: own } = catalogOf(text);
  expect(own).toBe(systemIdentifier);
  expect(bases.map(({ header }) => [header.systemIdentifier, header.postgresMajor])).toEqual(
    bases.map(() => [systemIdentifier, postgresMajor]),
  );
  expect(archives).toEqual([{ repo: 1, id: `${String(postgresMajor)}-1` }]);
  expect(notes).toEqual([]);
});

test('a base is never said to have ended earlier than it did, although its time is cut to seconds', () => {
  const [full] = catalogOf(INFO_260).bases;
  expect(full!.header).toMatchObject({
    id: '20261121-185510F',
    kind: 'full',
    parentId: null,
    timeline: 1,
    startLsn: '0/2000028',
    stopLsn: '0/2000120',
    startedAt: '2026-11-21T18:55:10.000Z',
    endedAt: '2026-11-21T18:55:12.000Z',
    walSegmentBytes: 16 * 1024 * 1024,
  });
});

test('the bytes to read are those in the repository, for block incremental ones the sum of what they build on', () => {
  expect(catalogOf(INFO_245).bases.map(({ header }) => header.sizes.bytes)).toEqual([2850080, 2850096, 2850112]);
  expect(catalogOf(INFO_260).bases.map(({ header }) => header.sizes.bytes)).toEqual([
    2726008,
    2726008 + 3088,
    2726008 + 3088 + 640,
  ]);
});

test('with several repositories every base is in its own, and the wal in all of them', () => {
  const { bases, archives } = catalogOf(INFO_TWO_REPOSITORIES);
  expect(bases.map(({ repo }) => repo)).toEqual([1, 1, 1, 2, 1]);
  expect(archives).toEqual([
    { repo: 1, id: '18-1' },
    { repo: 2, id: '18-1' },
  ]);
});

test('a stanza that was upgraded gives the wal of the cluster that is asked for', () => {
  const text = changed(INFO_260, (stanza: Record<string, unknown>) => {
    (stanza['db'] as unknown[]).push({ id: 2, 'repo-key': 1, 'system-id': '7999', version: '19' });
    (stanza['archive'] as unknown[]).push({ database: { id: 2, 'repo-key': 1 }, id: '19-2', min: null, max: null });
  });
  expect(catalogOf(text)).toMatchObject({ systemIdentifier: '7999', archives: [{ id: '19-2' }] });
  expect(catalogOf(text, '7710700282052249458').archives).toEqual([{ repo: 1, id: '18-1' }]);
});

test('the size of the segments follows from where a base starts', () => {
  const text = changed(INFO_260, (stanza: Record<string, unknown>) => {
    const [backup] = stanza['backup'] as { lsn: object; archive: object }[];
    stanza['backup'] = [backup];
    backup!.lsn = { start: '0/6000028', stop: '0/6000120' };
    backup!.archive = { start: '000000010000000000000001', stop: '000000010000000000000001' };
  });
  expect(catalogOf(text).bases[0]!.header.walSegmentBytes).toBe(64 * 1024 * 1024);
});

test('a base with bad pages, without positions or of a cluster that is not listed is said', () => {
  const text = changed(INFO_260, (stanza: Record<string, unknown>) => {
    const [full, diff, incr] = stanza['backup'] as Record<string, unknown>[];
    full!['error'] = true;
    diff!['lsn'] = null;
    incr!['database'] = { id: 9, 'repo-key': 1 };
  });
  const { bases, notes } = catalogOf(text);
  expect(bases.map(({ header }) => header.id)).toEqual(['20261121-185510F']);
  expect(notes).toEqual([
    expect.stringContaining('20261121-185510F has pages with wrong checksums'),
    expect.stringContaining('D is not used: info does not say where it begins'),
    expect.stringContaining('I is not used: info does not say of which cluster'),
  ]);
});

test('a stanza without bases is an empty one, a missing one is not found, an unreadable one is unavailable', () => {
  expect(catalogOf(INFO_NO_BASE)).toMatchObject({ bases: [], systemIdentifier: '7710698267254174263' });
  expect(() => parseInfo(INFO_NO_STANZA, 'main')).toThrow(/has no stanza main: missing stanza path/);
  expect(() => parseInfo('[]', 'main')).toThrow(/has no stanza main: info does not list it/);
  const unreadable: unknown = failureOf(() => parseInfo(INFO_UNREADABLE, 'main'));
  expect(unreadable).toMatchObject({
    type: 'StoreUnavailable',
    message: expect.stringMatching(/FormatError.*HINT/) as string,
  });
});

test('of two repositories the one that cannot be read is said, and the other one is used', () => {
  const text = changed(INFO_TWO_REPOSITORIES, (stanza: Record<string, unknown>) => {
    (stanza['repo'] as { status: object }[])[0]!.status = { code: 99, message: 'no\nanswer' };
  });
  expect(repositoryProblems(parseInfo(text, 'main'))).toEqual(['repository 1 is not used: no | answer']);
});

test.each(['', 'not json', '{"a":1}', '[{"name":"main"}]'])('an answer that is none is no empty stanza: %s', (text) => {
  expect(failureOf(() => parseInfo(text, 'main'))).toMatchObject({ type: 'CommandFailed' });
});

test('tablespaces of a base are known', () => {
  const { tablespace } = parseInfoOfBase(INFO_TABLESPACE, 'main', '20261121-185510F_20261121-193111I');
  expect(tablespace?.map(({ name }) => name)).toEqual(['extra']);
  expect(() => parseInfoOfBase(INFO_TABLESPACE, 'main', 'other')).toThrow(/does not have base other/);
});
