/** Calls of Barman, here and over ssh. */
import { configSchema, type BarmanConfig } from '../../../config/schema.js';
import { backupArgs, barmanCall, restoreArgs } from '../../../activities/backup-store/barman/commands.js';

const here: BarmanConfig = { kind: 'barman', server: 'main', command: ['sudo', '-n', '-u', 'barman', 'barman'] };
const there: BarmanConfig = {
  ...here,
  command: ['barman', '-c', "/etc/bar man's.conf"],
  remote: { host: 'barman@backup', sshOptions: ['-p', '23'], back: 'ssh -p 22 postgres@db1' },
};

test('a barman on this machine is called as the config says', () => {
  expect(barmanCall(here, ['list-backups', 'main'])).toEqual({
    program: 'sudo',
    args: ['-n', '-u', 'barman', 'barman', 'list-backups', 'main'],
  });
});

test('over ssh every word is quoted for the shell over there, and nobody is asked for a password', () => {
  const { program, args } = barmanCall(there, ['list-backups', 'main; rm -rf /']);
  expect(program).toBe('ssh');
  expect(args).toEqual(expect.arrayContaining(['BatchMode=yes', '-p', '23', '--', 'barman@backup']));
  expect(args.at(-1)).toBe(`barman -c '/etc/bar man'\\''s.conf' list-backups 'main; rm -rf /'`);
});

test('a restore names no target, brings no wal and writes into the one directory', () => {
  const args = restoreArgs({
    server: 'main',
    id: '20261121T184825',
    dir: '/s/base-0.restoring-1',
    sshCommand: null,
    stagingDir: null,
  });
  expect(args.join(' ')).toBe(
    '-f json restore --get-wal --no-retry --jobs 2 main 20261121T184825 /s/base-0.restoring-1',
  );
});

test('a restore over ssh says how barman gets back, and where parts are put together', () => {
  const args = restoreArgs({
    server: 'main',
    id: 'x',
    dir: '/d',
    sshCommand: 'ssh postgres@db1',
    stagingDir: '/d.staging',
  });
  expect(args).toEqual(
    expect.arrayContaining(['--remote-ssh-command', 'ssh postgres@db1', '--staging-path', '/d.staging']),
  );
});

test('a backup carries the name of the base', () => {
  expect(backupArgs('main', { name: 'pgr-1F', waitSeconds: 9, isIncremental: false }).join(' ')).toBe(
    'backup --wait --wait-timeout 9 --name pgr-1F main',
  );
  expect(backupArgs('main', { name: 'n', waitSeconds: 9, isIncremental: true })).toContain('--incremental');
});

test.each([
  ['a server that is an option', { server: '--help' }, /server/],
  ['a host that is an option', { remote: { host: '-oProxyCommand=x', back: 'ssh x' } }, /host/],
  ['no way back', { remote: { host: 'barman@backup' } }, /back/],
  ['an empty command', { command: [] }, /command/],
])('a config with %s is refused', (_, change, where) => {
  const store = configSchema.shape.environments.valueType.shape.backups;
  const parsed = store.safeParse({ kind: 'barman', server: 'main', ...change });
  expect(parsed.success).toBe(false);
  expect(JSON.stringify(parsed.error?.issues)).toMatch(where);
});
