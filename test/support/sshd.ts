/** A real sshd on loopback with keys of its own, through which one user of this machine reaches the user of the test servers. Needs root. */
import { execFile, spawn } from 'node:child_process';
import { chmod, chown, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

import { pollUntil } from '../../activities/lib/poll.js';
import { serverDirectory, serverOwner } from './cluster.js';
import { freePort } from './ports.js';

const run = promisify(execFile);

export type TestSshd = {
  /** `user@host`. */
  destination: string;
  /** Options of ssh for us. */
  options: string[];
  /** Options of ssh for the user of the servers. */
  optionsOfServer: string[];
  stop(): Promise<void>;
};

/** Null when this machine cannot have one; says why. */
export async function startSshd(): Promise<TestSshd | null> {
  if (process.getuid?.() !== 0) return skipped('it needs root');
  const there = await run('/usr/sbin/sshd', ['-V']).then(
    () => true,
    (error: unknown) => (error as { code?: unknown }).code !== 'ENOENT',
  );
  if (!there) return skipped('/usr/sbin/sshd is not installed');
  const dir = await serverDirectory('pgr-sshd-');
  await chmod(dir, 0o755);
  const owner = await serverOwner();
  const file = (name: string): string => path.join(dir, name);
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file('host')]);
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file('ours')]);
  await copyFile(file('ours.pub'), file('allowed'));
  await chmod(file('allowed'), 0o644);
  await copyFile(file('ours'), file('theirs'));
  await chown(file('theirs'), owner.uid, owner.gid);
  const port = await freePort();
  const settings = [
    `Port ${String(port)}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${file('host')}`,
    `AuthorizedKeysFile ${file('allowed')}`,
    'StrictModes no',
    'UsePAM yes',
    'PasswordAuthentication no',
    `PidFile ${file('pid')}`,
  ];
  await writeFile(file('config'), `${settings.join('\n')}\n`);
  await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
  const child = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', file('config')], { stdio: 'ignore' });
  const { stdout: user } = await run('id', ['-un', String(owner.uid)]);
  const destination = `${user.trim()}@127.0.0.1`;
  const optionsWith = (key: string): string[] => [
    ...['-F', '/dev/null', '-i', file(key), '-p', String(port)],
    ...['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR'],
  ];
  const sshd: TestSshd = {
    destination,
    options: optionsWith('ours'),
    optionsOfServer: optionsWith('theirs'),
    async stop() {
      child.kill('SIGTERM');
      await rm(dir, { recursive: true, force: true });
    },
  };
  const answers = await pollUntil(
    () =>
      run('ssh', ['-o', 'BatchMode=yes', ...sshd.options, destination, 'true']).then(
        () => true,
        () => null,
      ),
    { timeoutMs: 10_000, everyMs: 200 },
  );
  if (answers === true) return sshd;
  await sshd.stop();
  return skipped(`${destination} cannot log in through sshd`);
}

function skipped(why: string): null {
  process.stderr.write(`no sshd for tests: ${why}\n`);
  return null;
}
