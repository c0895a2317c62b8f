/** The arguments of pgBackRest, its exit codes and its lines. */
import * as commands from '../../../activities/backup-store/pgbackrest/commands.js';
import { damagedBase, errorsIn, pgbackrestFailure } from '../../../activities/backup-store/pgbackrest/failures.js';
import { partDone } from '../../../activities/backup-store/pgbackrest/progress.js';

const restore = { repo: 2, label: '20261121-185510F', dir: '/sandbox/base-0', lockDir: '/sandbox/base-0.lock' };

test('a restore goes into the directory of the run, and nothing of a configuration file leads it elsewhere', () => {
  const args = commands.restoreArgs({ ...restore, processMax: 4, isSecondTry: false });
  expect(args).toEqual(
    expect.arrayContaining([
      '--pg1-path=/sandbox/base-0',
      '--lock-path=/sandbox/base-0.lock',
      '--type=none',
      '--archive-mode=preserve',
      '--no-link-all',
      '--reset-link-map',
      '--reset-tablespace-map',
      '--reset-tablespace-map-all',
      '--reset-recovery-option',
      '--reset-pg1-host',
      '--no-delta',
    ]),
  );
  expect(args).not.toContain('--force');
});

test('only a second try compares with what is there', () => {
  expect(commands.restoreArgs({ ...restore, processMax: 1, isSecondTry: true })).toContain('--delta');
});

test('a base is taken in the repository that the config names, with our mark', () => {
  expect(commands.backupArgs(2, 'incremental', '20261121-062800I')).toEqual(
    expect.arrayContaining(['backup', '--type=incr', '--annotation=pgr-id=20261121-062800I', '--repo=2']),
  );
  expect(commands.backupArgs(null, 'full', 'x').join(' ')).not.toContain('--repo');
});

test('what is asked of a repository changes nothing in it', () => {
  const asked = [commands.infoArgs(null), commands.listArgs(1, 'archive/a/18-1'), commands.readArgs(1, 'archive/a')];
  expect(asked.map(([command]) => command)).toEqual(['info', 'repo-ls', 'repo-get']);
});

test.each([
  [26, 'BackupCorrupt'],
  [32, 'ConfigInvalid'],
  [49, 'StoreUnavailable'],
  [55, 'NotFound'],
  [62, 'PreconditionFailed'],
  [64, 'SpaceMissing'],
  [72, 'PreconditionFailed'],
  [95, 'CredentialsRefused'],
  [125, 'CommandFailed'],
  [null, 'CommandFailed'],
])('exit code %p is %s', (code, type) => {
  expect(pgbackrestFailure('info', code, 'words')).toMatchObject({
    type,
    message: expect.stringContaining('words') as string,
  });
});

test('the words of an error are kept with their hints, without the noise around them', () => {
  const output = [
    'P00   INFO: restore command begin 2.60.0: --stanza=main',
    'P00   WARN: something else',
    "P00  ERROR: [040]: unable to restore to path '/r1' because it contains files",
    '            HINT: try using --delta if this is what you intended.',
    'P00   INFO: restore command end: aborted with exception [040]',
  ].join('\n');
  expect(errorsIn(output)).toBe(
    "[040] unable to restore to path '/r1' because it contains files | HINT: try using --delta if this is what you intended.",
  );
  expect(errorsIn('a\nb\n')).toBe('a | b');
  expect(damagedBase('20261121F', 'words').message).toBe('base 20261121F is damaged: words');
});

test.each([
  ['P01 DETAIL: restore file /r1/base/5/1259 (bundle 1/160, bi 112KB, 0.79%) checksum a35b3c03', 0.0079],
  ['P01 DETAIL: restore file /r1/base/1/12622 (0B, 9.77%)', 0.0977],
  ['P02 DETAIL: restore file /r1/pg_multixact/0000 (bundle 20261121-185510F/1/26, 8KB, 100.00%) checksum 06', 1],
  ['P01 DETAIL: backup file /data/base/5/1255 (768KB, 3.41%) checksum 46f8', 0.0341],
  ["P00 DETAIL: sync path '/r1/pg_wal' (50%)", null],
  ['P00   INFO: restore size = 21.9MB, file total = 969', null],
])('progress of a line: %s', (line, part) => {
  if (part === null) expect(partDone(line)).toBeNull();
  else expect(partDone(line)).toBeCloseTo(part, 6);
});
