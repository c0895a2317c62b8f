/** A dump without a table of contents of its own use (a script, a tar, rows as INSERTs): restored by psql in one transaction, all of it or nothing. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

import { minimalEnvironment } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';
import { outputOf } from '../dump/piped.js';
import { sqlOf } from '../dump/read-dump.js';
import { connectionArgs } from './load-table.js';
import { inSessions, type Outcome, type Phase } from './phase.js';
import { only } from './schema-phase.js';
import { STATE_SCHEMA } from './names.js';
import { readDone } from './state.js';

const KEY = 'whole';

export async function loadWhole(phase: Phase): Promise<Outcome> {
  const { names, file } = phase;
  const isDone = async (): Promise<boolean> =>
    inSessions(phase, names.next, 1, async ([client]) => (await readDone(only(client))).has(KEY));
  if (await isDone()) return { outcome: 'already-done', bytes: file.bytes };
  await runScript(phase);
  if (!(await isDone())) throw stepFailure('CommandFailed', 'psql ended without having restored the dump');
  return { bytes: file.bytes, notes: ['this kind of dump is restored in one piece: nothing of it was deferred'] };
}

async function runScript({ spec, file, server, names, progress }: Phase): Promise<void> {
  const program = (name: string): string => (spec.binDir === null ? name : path.join(spec.binDir, name));
  const args = ['--no-psqlrc', '--quiet', '--set=VERBOSITY=terse', '--set=SHOW_CONTEXT=never', '--set=ON_ERROR_STOP=1'];
  const child = spawn(
    program('psql'),
    [...args, ...connectionArgs(server, names.next), '--single-transaction', '--output=/dev/null', '--file=-'],
    {
      cwd: '/',
      stdio: ['pipe', 'ignore', 'pipe'],
      env: {
        ...minimalEnvironment(),
        PGOPTIONS: '-c synchronous_commit=off',
        ...(server.password === null ? {} : { PGPASSWORD: server.password }),
      },
    },
  );
  let stderr = '';
  child.stderr.on('data', (data: Buffer) => {
    stderr = (stderr + data.toString('utf8')).slice(-4_096);
  });
  child.stdin.on('error', () => undefined);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => {
      reject(
        stepFailure('PreconditionFailed', `cannot start psql: ${error.message}`, {
          hint: 'set binDir of the dev target',
        }),
      );
    });
    child.once('close', resolve);
  });
  ended.catch(() => undefined);
  try {
    let done = 0;
    for await (const piece of scriptOf(program('pg_restore'), file)) {
      if (child.exitCode !== null || child.stdin.destroyed) break;
      if (!child.stdin.write(piece))
        await Promise.race([once(child.stdin, 'drain'), once(child, 'close')]).catch(() => undefined);
      done += piece.length;
      progress({ done, total: null, unit: 'bytes', note: 'restoring the whole dump' });
    }
    // In the transaction of the script: it is there with everything else, or not at all.
    child.stdin.end(`\ninsert into ${STATE_SCHEMA}.done (key) values ('${KEY}');\n`);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  if ((await ended) === 0) return;
  const said = stderr.split('\n').find((line) => /ERROR|FATAL|error:/.test(line)) ?? 'it said nothing';
  throw stepFailure('CommandFailed', `the dump cannot be restored: ${said.replace(/^psql:[^ ]* /, '').slice(0, 300)}`, {
    hint: 'nothing of it was kept; the database in use was not touched',
  });
}

function scriptOf(pgRestore: string, file: Phase['file']): AsyncIterable<Buffer> {
  if (file.format === 'plain') return sqlOf(file);
  return outputOf({
    program: pgRestore,
    args: ['--no-owner', '--no-privileges', '--no-subscriptions', '--no-publications', '--file=-', file.path],
    failed: (stderr) =>
      stepFailure('BackupCorrupt', `${file.path} cannot be read: ${stderr.trim().split('\n').at(-1) ?? ''}`),
  });
}
