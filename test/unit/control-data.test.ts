import { parseControlData } from '../../activities/postgres/control-data.js';
import { parsePidFile } from '../../activities/postgres/postmaster.js';

const OUTPUT = `pg_control version number:            1800
Catalog version number:               202506291
Database system identifier:           7574865381234567890
Database cluster state:               shut down in recovery
pg_control last modified:             Sat Nov 21 06:40:00 2026
Latest checkpoint location:           0/5000080
Latest checkpoint's REDO location:    0/5000028
Latest checkpoint's REDO WAL file:    000000010000000000000005
Latest checkpoint's TimeLineID:       1
Latest checkpoint's NextXID:          0:754
Time of latest checkpoint:            Sat Nov 21 06:39:59 2026
Minimum recovery ending location:     0/50001C8
Min recovery ending loc's timeline:   1
wal_level setting:                    replica
wal_log_hints setting:                off
max_connections setting:              100
max_worker_processes setting:         8
max_wal_senders setting:              10
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
Bytes per WAL segment:                16777216
Data page checksum version:           1
`;

test('reads identity and state; the system identifier stays a string, because a number would round it', () => {
  expect(parseControlData(OUTPUT)).toEqual({
    systemIdentifier: '7574865381234567890',
    state: 'shut down in recovery',
    timeline: 1,
    checkpointLsn: '0/5000080',
    redoLsn: '0/5000028',
    redoSegment: '000000010000000000000005',
    checkpointTime: 'Sat Nov 21 06:39:59 2026',
    minRecoveryEndLsn: '0/50001C8',
    minRecoveryEndTimeline: 1,
    nextXid: '0:754',
    settings: {
      maxConnections: 100,
      maxWorkerProcesses: 8,
      maxWalSenders: 10,
      maxPreparedTransactions: 0,
      maxLocksPerTransaction: 64,
    },
    walLevel: 'replica',
    walSegmentBytes: 16_777_216,
    checksums: true,
    walLogHints: false,
  });
});

test('a line that is missing is named, it does not read as a value', () => {
  expect(() => parseControlData(OUTPUT.replace(/^Database cluster state.*\n/m, ''))).toThrow('Database cluster state');
});

test('reads postmaster.pid, also while the server has not written all of it', () => {
  expect(parsePidFile('123\n/data\n1795243200\n5432\n/tmp\n127.0.0.1\n 1 2\nready   \n')).toEqual({
    pid: 123,
    dataDir: '/data',
    startEpochSeconds: 1_795_243_200,
    port: 5432,
    socketDir: '/tmp',
    status: 'ready',
  });
  expect(parsePidFile('-77\n/data\n')).toMatchObject({ pid: 77, port: null, status: null });
  expect(parsePidFile('')).toBeNull();
});
