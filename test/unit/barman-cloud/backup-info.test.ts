import { parseBackupInfo } from '../../../activities/backup-store/barman-cloud/backup-info.js';
import { BACKUP_INFO } from './info-text.js';

const ID = '20261121T171338';

function parsed(...changes: [string, string][]) {
  return parseBackupInfo(
    changes.reduce((text, [from, to]) => text.replace(from, to), BACKUP_INFO),
    ID,
  );
}

test('a base that is done is told with its positions, times in UTC and the identity as text', () => {
  expect(parsed()).toEqual({
    id: ID,
    status: 'DONE',
    error: null,
    systemIdentifier: '7710674020926131365',
    postgresMajor: 18,
    postgresVersion: 180006,
    walSegmentBytes: 16_777_216,
    position: {
      timeline: 1,
      beginLsn: '0/3000028',
      endLsn: '0/3000120',
      beginTime: '2026-11-21T17:13:38.471244Z',
      endTime: '2026-11-21T17:13:42.740093Z',
    },
    tablespaces: [],
    backupLabel: expect.stringMatching(
      /^START WAL LOCATION: 0\/3000028 \(file 0+10+3\)\n[\s\S]*\nSTART TIMELINE: 1\n$/,
    ) as string,
    isSnapshot: false,
    encryption: null,
    clusterBytes: 24_632_417,
  });
});

test('times of a server in another zone come out in UTC', () => {
  const { position } = parsed(['end_time=2026-11-21 17:13:42.740093+00:00', 'end_time=2026-11-21 19:43:42+02:30']);
  expect(position?.endTime).toBe('2026-11-21T17:13:42.000000Z');
});

test('a base that failed has no position and says why', () => {
  expect(
    parsed(
      ['status=DONE', 'status=FAILED'],
      ['error=None', 'error=failure uploading data (disk)'],
      ['end_xlog=0/3000120', 'end_xlog=None'],
    ),
  ).toMatchObject({ status: 'FAILED', position: null, error: 'failure uploading data (disk)' });
});

test('tablespaces, snapshots and encryption are seen', () => {
  const list = String.raw`tablespaces=[('fast', 16387, '/srv/fast'), ("it's", 16388, '/srv/two')]`;
  expect(parsed(['tablespaces=None', list]).tablespaces).toEqual(['fast', "it's"]);
  expect(parsed(['tablespaces=None', 'tablespaces=something else']).tablespaces).toEqual(['something else']);
  expect(parsed(['encryption=None', 'encryption=gpg']).encryption).toBe('gpg');
  expect(parseBackupInfo(`${BACKUP_INFO}snapshots_info={'provider': 'aws'}\n`, ID).isSnapshot).toBe(true);
});

test.each([
  ['an html page', '<html>', /line "<html>/],
  ['an empty file', '', /no status/],
  ['a position that is none', BACKUP_INFO.replace('end_xlog=0/3000120', 'end_xlog=soon'), /end_xlog is "soon"/],
  ['a time without a zone', BACKUP_INFO.replace('42.740093+00:00', '42.740093'), /end_time is/],
  ['an identity that is no number', BACKUP_INFO.replace('7710674020926131365', 'x'), /systemid is "x"/],
])('%s is refused as damaged, with the line', (_, text, message) => {
  expect(() => parseBackupInfo(text, ID)).toThrow(message);
});
