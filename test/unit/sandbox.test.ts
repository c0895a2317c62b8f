import { spawn, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { amcheckArgs, combineArgs, verifyBackupArgs } from '../../activities/postgres/sandbox/commands.js';
import { chooseCopyMethod } from '../../activities/postgres/sandbox/copy-method.js';
import { hbaText, restoreScriptText, shellQuoted } from '../../activities/postgres/sandbox/files.js';
import { isInside } from '../../activities/postgres/sandbox/guard.js';
import {
  damageIn,
  findFailure,
  findStopLine,
  findTooSmallSetting,
  secondsBetweenLines,
  sinceLastStart,
} from '../../activities/postgres/sandbox/server-log.js';
import {
  clusterName,
  keptLibraries,
  restoreCommand,
  sandboxArguments,
} from '../../activities/postgres/sandbox/settings.js';
import { socketDirFor } from '../../activities/postgres/sandbox/socket-dir.js';
import { stopProblem } from '../../activities/postgres/sandbox/stop-point.js';
import type { RecoveryPlan, StopPoint } from '../../shared/contracts/plan.js';
import type { Lsn } from '../../shared/lsn.js';

const lsn = (text: string): Lsn => text as Lsn;

const plan = {
  timeline: 1,
  stop: { kind: 'lsn', lsn: lsn('0/5000148'), inclusive: true },
  fetch: { firstSegment: '000000010000000000000003', lastSegment: '000000010000000000000005' },
  minimumSettings: {
    maxConnections: 100,
    maxWorkerProcesses: 8,
    maxWalSenders: 10,
    maxPreparedTransactions: 0,
    maxLocksPerTransaction: 64,
  },
} as unknown as RecoveryPlan;

describe('settings of a sandbox', () => {
  const settings = (change: Partial<RecoveryPlan> = {}): Map<string, string> => {
    const args = sandboxArguments({
      plan: { ...plan, ...change },
      sandbox: 'lab.pitr.20261121-034200',
      port: 15_400,
      socketDir: '/tmp/pgr-00000000',
      sharedBuffers: '256MB',
      configFile: '/s/postgresql.conf',
      hbaFile: '/s/pg_hba.conf',
      identFile: '/s/pg_ident.conf',
      restoreScript: '/s/restore-wal.sh',
      preloadLibraries: ['timescaledb', 'pg_cron', '$libdir/pg_cron', 'pg_stat_statements'],
    });
    expect(args.filter((_, index) => index % 2 === 0).every((arg) => arg === '-c')).toBe(true);
    return new Map(
      args
        .filter((_, index) => index % 2 === 1)
        .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
    );
  };

  test.each([
    ['archive_mode', 'off'],
    ['archive_command', ''],
    ['archive_library', ''],
    ['primary_conninfo', ''],
    ['primary_slot_name', ''],
    ['max_logical_replication_workers', '0'],
    ['cron.launch_active_jobs', 'off'],
    ['listen_addresses', '127.0.0.1'],
    ['default_transaction_read_only', 'on'],
    ['cluster_name', 'pgr-sandbox-lab.pitr.20261121-034200'],
    ['recovery_target_action', 'pause'],
    ['recovery_target_timeline', '1'],
    ['max_connections', '100'],
    ['shared_preload_libraries', 'timescaledb,pg_stat_statements'],
    ['lc_messages', 'C'],
  ])('%s is "%s"', (name, value) => {
    expect(settings().get(name)).toBe(value);
  });

  test('every other recovery target is emptied before the one that counts', () => {
    const names = [...settings().keys()].filter((name) => /^recovery_target(_(time|xid|name|lsn))?$/.test(name));
    expect(names.at(-1)).toBe('recovery_target_lsn');
    expect(names.slice(0, -1).map((name) => settings().get(name))).toEqual(['', '', '', '']);
  });

  test('an immediate target is the only one', () => {
    const immediate = settings({ stop: { kind: 'immediate' } });
    expect(immediate.get('recovery_target')).toBe('immediate');
    expect(immediate.get('recovery_target_lsn')).toBe('');
    expect(immediate.has('recovery_target_inclusive')).toBe(false);
  });

  test('a long name is cut to what PostgreSQL keeps', () => {
    expect(clusterName('x'.repeat(100))).toHaveLength(63);
  });

  test('libraries whose workers act by themselves are left out', () => {
    expect(keptLibraries(['pg_cron', 'pglogical', 'auto_explain'])).toBe('auto_explain');
  });

  test('a path with quotes and per cent signs survives the shell and PostgreSQL', () => {
    expect(restoreCommand(`/data/it's 100%/restore.sh`)).toBe(`/bin/sh '/data/it'\\''s 100%%/restore.sh' '%f' '%p'`);
  });
});

describe('commands', () => {
  test('a chain is combined full base first, without waiting for the disk', () => {
    expect(combineArgs(['/s/base-0', '/s/base-1'], '/s/data.tmp', 'copy-file-range')).toEqual([
      '--no-sync',
      '--copy-file-range',
      '--output',
      '/s/data.tmp',
      '/s/base-0',
      '/s/base-1',
    ]);
  });

  test('a combined base is verified without its WAL', () => {
    expect(verifyBackupArgs('/s/data.tmp')).toEqual(['--no-parse-wal', '--quiet', '/s/data.tmp']);
  });

  test('amcheck takes no lock that recovery cannot give', () => {
    const c = { host: '/tmp/x', port: 1, user: 'u', jobs: 2 };
    expect(amcheckArgs({ ...c, level: 'full' })).toEqual([
      '--host',
      '/tmp/x',
      '--port',
      '1',
      '--username',
      'u',
      '--no-password',
      '--all',
      '--jobs',
      '2',
      '--heapallindexed',
    ]);
    expect(amcheckArgs({ ...c, level: 'heap' })).toContain('--no-dependent-indexes');
  });

  test('people need a password where production does', () => {
    expect(hbaText(true)).toContain('host all all 127.0.0.1/32 md5');
    expect(hbaText(false)).toContain('host all all 127.0.0.1/32 trust');
  });
});

describe('the log of a server', () => {
  const at = (seconds: number, text: string): string => `2026-11-21 03:42:0${String(seconds)}.250 UTC [77] ${text}`;

  test('only what was said since the last start counts', () => {
    const lines = sinceLastStart(
      [
        at(1, 'LOG:  starting PostgreSQL 18.6'),
        at(2, 'FATAL:  old'),
        at(3, 'LOG:  starting PostgreSQL 18.6'),
        at(4, 'LOG:  new'),
      ].join('\n'),
    );
    expect(lines).toHaveLength(2);
    expect(secondsBetweenLines(lines[0], lines[1])).toBe(1);
  });

  test('the stop line gives place and kind', () => {
    expect(findStopLine([at(1, 'LOG:  recovery stopping after WAL location (LSN) "0/5000148"')])).toMatchObject({
      where: 'after',
      lsn: '0/5000148',
    });
    expect(findStopLine([at(1, 'LOG:  recovery stopping before WAL location (LSN) "1/B8FFEFB0"')])).toMatchObject({
      where: 'before',
      lsn: '1/B8FFEFB0',
    });
    expect(findStopLine([at(1, 'LOG:  recovery stopping after reaching consistency')])).toMatchObject({
      where: 'consistency',
      lsn: null,
    });
    expect(findStopLine([at(1, 'LOG:  recovery stopping before commit of transaction 9, time 2026')])).toBeNull();
  });

  test.each([
    ['FATAL:  recovery ended before configured recovery target was reached', 'RecoveryStopped'],
    ['FATAL:  requested recovery stop point is before consistent recovery point', 'RecoveryStopped'],
    [
      'FATAL:  could not restore file "000000010000000000000005" from archive: child process exited with exit code 255',
      'RecoveryStopped',
    ],
    ['FATAL:  could not create any TCP/IP sockets', 'PortTaken'],
    ['FATAL:  database files are incompatible with server', 'MajorMismatch'],
    ['FATAL:  archive file "000000010000000000000005" has wrong size: 100 instead of 16777216', 'WalCorrupt'],
    ['PANIC:  could not write to file', 'RecoveryStopped'],
  ])('%s is %s', (text, type) => {
    expect(findFailure([at(1, text)])).toMatchObject({ type });
  });

  test('damage before the end of recovery is named; the ordinary end of WAL without a FATAL is none', () => {
    const damage = at(1, 'LOG:  incorrect resource manager data checksum in record at 0/5000148');
    expect(
      findFailure([damage, at(2, 'FATAL:  recovery ended before configured recovery target was reached')]),
    ).toMatchObject({
      type: 'WalCorrupt',
      message: expect.stringContaining('0/5000148') as unknown,
    });
    expect(findFailure([damage])).toBeNull();
    expect(
      damageIn(
        at(1, 'LOG:  invalid magic number 0000 in WAL segment 000000010000000000000005, LSN 0/5000000, offset 0'),
      ),
    ).toBe('000000010000000000000005');
    expect(damageIn(at(1, 'LOG:  consistent recovery state reached at 0/3000000'))).toBeNull();
  });

  test('sessions that were turned away are not the reason of an end', () => {
    expect(findFailure([at(1, 'FATAL:  the database system is starting up')])).toBeNull();
  });

  test('a setting that is too small is told with its values', () => {
    expect(
      findTooSmallSetting([
        at(1, 'WARNING:  hot standby is not possible because of insufficient parameter settings'),
        at(1, 'DETAIL:  max_connections = 10 is a lower setting than on the primary server, where its value was 100.'),
      ]),
    ).toContain('max_connections = 10');
  });
});

describe('a stop', () => {
  const stopped = (
    where: 'before' | 'after' | 'consistency',
    text: string | null,
  ): Parameters<typeof stopProblem>[1] => ({ line: 'the line', where, lsn: text === null ? null : lsn(text) });
  const inclusive: StopPoint = { kind: 'lsn', lsn: lsn('0/5000148'), inclusive: true };
  const exclusive: StopPoint = { kind: 'lsn', lsn: lsn('0/5000148'), inclusive: false };

  test('where the plan wanted it is no problem', () => {
    expect(stopProblem(inclusive, stopped('after', '0/5000148'), lsn('0/5000170'))).toBeNull();
    expect(stopProblem(exclusive, stopped('before', '0/5000148'), lsn('0/5000148'))).toBeNull();
    expect(stopProblem({ kind: 'immediate' }, stopped('consistency', null), lsn('0/1'))).toBeNull();
  });

  test('short of it, or on the wrong side, is one', () => {
    expect(stopProblem(inclusive, stopped('after', '0/4000148'), lsn('0/5000170'))).toContain('short of');
    expect(stopProblem(inclusive, stopped('before', '0/5000148'), lsn('0/5000148'))).toContain('was to stop after');
    expect(stopProblem(inclusive, stopped('after', '0/5000148'), lsn('0/5000100'))).toContain('only');
    expect(stopProblem(exclusive, stopped('before', '0/5000148'), lsn('0/6000000'))).toContain(
      'has replayed up to 0/6000000',
    );
    // As text 0/5000148 would sort behind 0/10000000.
    expect(stopProblem(inclusive, stopped('after', '0/10000000'), lsn('0/10000028'))).toBeNull();
  });
});

describe('the restore command', () => {
  let dir = '';
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), "pgr it's "));
    await mkdir(path.join(dir, 'wal'));
  });
  afterEach(async () => {
    await rm(dir, { recursive: true, force: true });
  });

  const script = async (timeline = 1): Promise<string> => {
    const file = path.join(dir, 'restore.sh');
    await writeFile(
      file,
      restoreScriptText({
        spoolDir: path.join(dir, 'wal'),
        completeFile: path.join(dir, 'complete'),
        plan: { ...plan, timeline },
      }),
    );
    return file;
  };
  const ask = async (name: string, timeline = 1): Promise<number | null> =>
    spawnSync('/bin/sh', [await script(timeline), name, path.join(dir, 'out')], { timeout: 5_000 }).status;
  const spool = (name: string): Promise<void> => writeFile(path.join(dir, 'wal', name), `bytes of ${name}`);

  test('links a segment that is there and keeps it in the spool', async () => {
    await spool('000000010000000000000004');
    expect(await ask('000000010000000000000004')).toBe(0);
    expect(await readFile(path.join(dir, 'out'), 'utf8')).toBe('bytes of 000000010000000000000004');
    expect(await readFile(path.join(dir, 'wal', '000000010000000000000004'), 'utf8')).not.toBe('');
  });

  test.each([
    '000000010000000000000002',
    '000000010000000000000006',
    '00000001000000FF00000001',
    '00000002.history',
    'junk',
    '000000010000000000000003.00000028.backup',
  ])('refuses %s at once: it is not wanted', async (name) => {
    const startedMs = Date.now();
    expect(await ask(name)).toBe(1);
    expect(Date.now() - startedMs).toBeLessThan(2_000);
  });

  test('gives a history file that is there', async () => {
    await spool('00000007.history');
    expect(await ask('00000007.history')).toBe(0);
  });

  test('waits for a wanted segment', async () => {
    const child = spawn('/bin/sh', [await script(), '000000010000000000000005', path.join(dir, 'out')]);
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    expect(await Promise.race([ended, delay(200)])).toBeUndefined();
    await spool('000000010000000000000005');
    expect(await ended).toBe(0);
  });

  test('waits for the history of its own timeline', async () => {
    const child = spawn('/bin/sh', [await script(3), '00000003.history', path.join(dir, 'out')]);
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    expect(await Promise.race([ended, delay(200)])).toBeUndefined();
    await spool('00000003.history');
    expect(await ended).toBe(0);
  });

  test('ends recovery when a wanted segment is missing for good: that is not the end of the archive', async () => {
    await writeFile(path.join(dir, 'complete'), '');
    expect(await ask('000000010000000000000005')).toBe(255);
  });

  test('ends recovery when the sandbox is gone', async () => {
    const file = await script();
    await rm(path.join(dir, 'wal'), { recursive: true });
    expect(spawnSync('/bin/sh', [file, '000000010000000000000005', path.join(dir, 'out')]).status).toBe(255);
  });

  test('says no to the newer name of a segment that the archive has under the older timeline only', async () => {
    await spool('000000010000000000000005');
    expect(await ask('000000020000000000000005', 2)).toBe(1);
    expect(await ask('000000010000000000000005', 2)).toBe(0);
  });
});

describe('places', () => {
  test('overlap is seen, similar names are not', () => {
    expect(isInside('/srv/pg/data/base', '/srv/pg/data')).toBe(true);
    expect(isInside('/srv/pg/data', '/srv/pg/data')).toBe(true);
    expect(isInside('/srv/pg/data2', '/srv/pg/data')).toBe(false);
    expect(isInside('/srv/pg/..data', '/srv/pg')).toBe(true);
  });

  test('the socket directory is short and the same on every attempt', () => {
    const dir = socketDirFor('/very/long/path', 'run');
    expect(dir).toMatch(/^\/tmp\/pgr-[0-9a-f]{8}$/);
    expect(socketDirFor('/very/long/path', 'run')).toBe(dir);
    expect(socketDirFor('/very/long/path', 'other')).not.toBe(dir);
  });

  test('a word for the shell stays one word', () => {
    const text = `a 'b' "$HOME" \`id\``;
    expect(spawnSync('/bin/sh', ['-c', `printf %s ${shellQuoted(text)}`]).stdout.toString()).toBe(text);
  });

  test('links are used by 18 only, and the probe leaves nothing', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'pgr-probe-'));
    const methods = [await chooseCopyMethod(dir, 17), await chooseCopyMethod(dir, 18)];
    expect(methods[0]).not.toBe('link');
    expect(['clone', 'link']).toContain(methods[1]);
    await rm(dir, { recursive: true });
  });
});
