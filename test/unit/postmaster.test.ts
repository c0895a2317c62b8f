/**
 * Scenario: what a pid file says is looked at by somebody who may not see everything. Verified: what cannot be told is `unknown`, and never `stopped`.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { readPostmaster } from '../../activities/postgres/postmaster.js';

const NOBODY = 65_534;
/** Only root can become somebody who may not look at a process. */
const asRoot = process.platform === 'linux' && process.getuid?.() === 0 ? test : test.skip;

describe('a pid file', () => {
  let dir = '';
  let program: ChildProcess | null = null;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'pgr-postmaster-'));
    await chmod(dir, 0o755);
  });
  afterEach(async () => {
    const ended = program === null ? null : once(program, 'exit');
    program?.kill('SIGKILL');
    await ended;
    program = null;
    await rm(dir, { recursive: true, force: true });
  });

  async function pidFile(pid: number): Promise<void> {
    await writeFile(path.join(dir, 'postmaster.pid'), `${String(pid)}\n${dir}\n1\n5432\n\n127.0.0.1\n\nready\n`);
  }

  asRoot('of a server of another user that cannot be looked at is not "stopped"', async () => {
    const postgres = path.join(dir, 'postgres');
    await copyFile('/bin/sleep', postgres);
    await chmod(postgres, 0o755);
    program = spawn(postgres, ['600'], { cwd: '/', stdio: 'ignore' });
    await once(program, 'spawn');
    await pidFile(program.pid ?? 0);
    process.seteuid?.(NOBODY);
    try {
      await expect(readPostmaster(dir)).resolves.toMatchObject({ state: 'unknown' });
    } finally {
      process.seteuid?.(0);
    }
    await expect(readPostmaster(dir)).resolves.toMatchObject({ state: 'stopped' });
  });

  test('of a process that is no server is left over', async () => {
    await pidFile(process.pid);
    await expect(readPostmaster(dir)).resolves.toMatchObject({ state: 'stopped' });
  });

  test('without a pid in it tells nothing', async () => {
    await writeFile(path.join(dir, 'postmaster.pid'), '');
    await expect(readPostmaster(dir)).resolves.toMatchObject({ state: 'unknown' });
  });
});
