/** What Barman 3.19.1 really printed (PostgreSQL 18.6), cut to what is read. */
import {
  parseBackup,
  parseCheck,
  parseKeep,
  parseList,
  parseProcesses,
  parseServer,
  segmentBytesOf,
} from '../../../activities/backup-store/barman/answers.js';
import { headerOf } from '../../../activities/backup-store/barman/catalog.js';
import { linesOf } from '../../../activities/backup-store/barman/check.js';
import { parseAnswer, problemIn } from '../../../activities/backup-store/barman/run.js';

const LIST =
  '{"main": [{"backup_id": "20261121T185000", "backup_name": "inc1", "backup_type": "incremental", "end_time": "Sat Nov 21 18:50:09 2026", "end_time_timestamp": "1795287009", "retention_status": "-", "size": "3.6 MiB", "size_bytes": 3816692, "status": "DONE", "wal_size": "0 B", "wal_size_bytes": 0}, {"backup_id": "20261121T184825", "status": "FAILED"}]}';
const SHOWN =
  '{"main": {"backup_id": "20261121T185000", "backup_name": "inc1", "backup_type": "incremental", "base_backup_information": {"backup_method": "postgres", "backup_size": "3.6 MiB", "backup_size_bytes": 3800152, "begin_lsn": "0/6000028", "begin_offset": 40, "begin_time": "2026-11-21 18:50:00.562854+00:00", "begin_time_timestamp": "1795287000", "begin_wal": "000000010000000000000006", "compression": null, "encryption": null, "end_lsn": "0/7000000", "end_offset": 0, "end_time": "2026-11-21 20:50:09.009964+02:00", "end_wal": "000000010000000000000006", "timeline": 1}, "catalog_information": {"chain_size": 2, "parent_backup_id": "20261121T184825", "root_backup_id": "20261121T184825"}, "cluster_size": "22.2 MiB", "cluster_size_bytes": 23227489, "pgdata_directory": "/var/lib/data", "postgresql_version": 180006, "status": "DONE", "system_id": "7710698475364615544", "tablespaces": []}}';
const CHECK =
  '{"main": {"archiver_errors": {"hint": "", "status": "OK"}, "postgresql": {"hint": "", "status": "FAILED"}, "receive_wal_running": {"hint": "See the Barman log file for more details", "status": "FAILED"}, "replication_slot": {"hint": "replication slot \'barman\' doesn\'t exist. Please execute \'barman receive-wal --create-slot main\'", "status": "FAILED"}}}';

const answer = (text: string): Record<string, unknown> => parseAnswer(text)!;
const shown = (change: (text: string) => string = (text) => text) =>
  parseBackup(answer(change(SHOWN)), 'main', '20261121T185000');

test('a list has every backup with its status; an empty one is empty', () => {
  expect(parseList(answer(LIST), 'main').map(({ backup_id: id, status }) => [id, status])).toEqual([
    ['20261121T185000', 'DONE'],
    ['20261121T184825', 'FAILED'],
  ]);
  expect(parseList({ main: [] }, 'main')).toEqual([]);
});

test.each([
  ['no list', {}],
  ['an id that leads elsewhere', { main: [{ backup_id: '../x', status: 'DONE' }] }],
  ['no status', { main: [{ backup_id: '20261121T184825' }] }],
])('an answer with %s is StoreUnavailable, never an empty list', (_, given) => {
  expect(() => parseList(given, 'main')).toThrow(/the list of backups of main is not understood/);
});

test('an incremental backup is a full base: barman puts it together', () => {
  expect(headerOf(shown())).toMatchObject({
    id: '20261121T185000',
    kind: 'full',
    parentId: null,
    systemIdentifier: '7710698475364615544',
    postgresMajor: 18,
    timeline: 1,
    startLsn: '0/6000028',
    stopLsn: '0/7000000',
    startedAt: '2026-11-21T18:50:00.562854Z',
    endedAt: '2026-11-21T18:50:09.009964Z',
    walSegmentBytes: 16 * 1024 * 1024,
    sizes: { bytes: 23227489, restoredBytes: 23227489 },
  });
  expect(headerOf(shown()).unusable).toBeUndefined();
});

test.each([
  ['tablespaces', '"tablespaces": []', '"tablespaces": [{"name": "fast"}]', /tablespaces of its own/],
  ['data in snapshots', '"backup_method": "postgres"', '"backup_method": "snapshot-gce"', /snapshots of disks/],
  ['no system', '"system_id": "7710698475364615544"', '"system_id": null', /does not know of which system/],
])('a backup with %s is not usable and says why', (_, from, to, why) => {
  expect(headerOf(shown((text) => text.replace(from, to))).unusable).toMatch(why);
});

test('numbers that come as text are numbers; a position that is none is refused', () => {
  expect(shown((text) => text.replace('180006', '"180006"')).postgresql_version).toBe(180006);
  expect(() => shown((text) => text.replace('0/7000000', 'soon'))).toThrow(/"soon" is not an lsn/);
  expect(() => shown((text) => text.replace('2026-11-21 18:50:00.562854+00:00', 'yesterday'))).toThrow(/not a time/);
});

test.each([
  ['0/6000028', '000000010000000000000006', 40, 16],
  ['0/6000028', '000000010000000000000018', 0x28, 4],
  ['5/C0000060', '000000010000000500000003', 0x60, 1024],
])('position %s in %s means segments of their size', (begin_lsn, begin_wal, begin_offset, mib) => {
  const facts = { ...shown().base_backup_information, begin_lsn: begin_lsn as never, begin_wal, begin_offset };
  expect(segmentBytesOf(facts)).toBe(mib * 1024 * 1024);
});

test('every part of a check that failed is a line with what to run', () => {
  const lines = linesOf(parseCheck(answer(CHECK), 'main'), 'main');
  expect(lines.map(({ check, ok }) => [check, ok])).toEqual([
    ['barman-check', false],
    ['barman:postgresql', false],
    ['barman:receive-wal-running', false],
    ['barman:replication-slot', false],
  ]);
  expect(lines[0]!.actual).toBe('1 of 4 parts ok');
  expect(lines[2]!.actual).toMatch(/FAILED: See the Barman log.*`barman cron`/);
  expect(lines[3]!.actual).toMatch(/`barman receive-wal --create-slot main`/);
  expect(linesOf({}, 'main')[0]!.ok).toBe(false);
});

test('keep, processes and directories are read', () => {
  expect(parseKeep(answer('{"main": {"keep_status": {"description": "Keep", "message": "full"}}}'), 'main')).toBe(
    'full',
  );
  expect(parseProcesses(answer('{"main": [{"name": "receive-wal", "pid": 10753}]}'), 'main')).toEqual([
    { name: 'receive-wal' },
  ]);
  const server = { backup_directory: '/b/main', wals_directory: '/b/main/wals', streaming_archiver: true };
  expect(parseServer({ main: server }, 'main')).toMatchObject(server);
});

test('errors in an answer are found, and text that is no answer is none', () => {
  expect(problemIn(answer('{"_ERROR": ["Unknown server \'nope\'"]} '))).toBe("Unknown server 'nope'");
  expect(problemIn(answer('{"main": []}'))).toBeNull();
  expect(parseAnswer("ERROR: please run barman as 'barman' user")).toBeNull();
  expect(parseAnswer('[]')).toBeNull();
});
