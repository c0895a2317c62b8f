/** Runs pgBackRest. What it costs and changes, the arguments say (commands.ts). */
import { spawn } from 'node:child_process';
import { StringDecoder } from 'node:string_decoder';
import { clearTimeout, setTimeout } from 'node:timers';
import path from 'node:path';

import { minimalEnvironment, type RunAs } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';
import { errorsIn, pgbackrestFailure } from './failures.js';

export type Ended = { exitCode: number | null; said: string };

export interface Pgbackrest {
  /** Standard output of a command that must succeed. Throws what its exit code means. */
  read(args: readonly string[]): Promise<Buffer>;
  /** Runs a command of any length; every line that it prints is handed over. Its exit code is the caller's to judge. */
  follow(args: readonly string[], onLine: (line: string) => void): Promise<Ended>;
}

export type PgbackrestProgram = {
  command: readonly string[];
  stanza: string;
  /** User of the process when we are root. */
  runAs: RunAs | null;
};

/** Reading takes long where the repository is far away and has many files; this long it takes only when nobody answers. */
const READ_TIMEOUT_MS = 300_000;
const KEPT_TEXT = 16 * 1024;
const KEPT_LINES = 40;

/** A program that brings another user with it must not be started as one that may not do that. */
const CHANGES_USER = new Set(['sudo', 'doas', 'su', 'runuser', 'setpriv']);

/** pgBackRest for one stanza. */
export function createPgbackrest(program: PgbackrestProgram): Pgbackrest {
  const [file = 'pgbackrest', ...before] = program.command;
  const runAs = CHANGES_USER.has(path.basename(file)) ? null : program.runAs;
  const start = (args: readonly string[]): ReturnType<typeof spawnProgram> =>
    spawnProgram(file, [...before, `--stanza=${program.stanza}`, ...args], runAs);
  return {
    async read(args) {
      const child = start(args);
      const out: Buffer[] = [];
      let errors = '';
      child.stdout.on('data', (piece: Buffer) => out.push(piece));
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        if (errors.length < KEPT_TEXT) errors += text;
      });
      const timing = { isLate: false };
      const timer = setTimeout(() => {
        timing.isLate = true;
        child.kill('SIGKILL');
      }, READ_TIMEOUT_MS);
      try {
        const exitCode = await ended(child, file);
        if (timing.isLate) throw tooLate(args);
        if (exitCode !== 0) throw pgbackrestFailure(args.slice(0, 2).join(' '), exitCode, errorsIn(errors));
        return Buffer.concat(out);
      } finally {
        clearTimeout(timer);
      }
    },
    async follow(args, onLine) {
      const child = start(args);
      const last: string[] = [];
      const take = (line: string): void => {
        last.push(line);
        if (last.length > KEPT_LINES) last.shift();
        onLine(line);
      };
      const readers = [child.stdout, child.stderr].map((stream) => {
        const lines = createLineReader(take);
        stream.on('data', lines.push);
        return lines;
      });
      const exitCode = await ended(child, file);
      for (const lines of readers) lines.finish();
      return { exitCode, said: errorsIn(last.join('\n')) };
    },
  };
}

function tooLate(args: readonly string[]): Error {
  const what = args.slice(0, 2).join(' ');
  return stepFailure(
    'StoreUnavailable',
    `pgbackrest ${what} did not answer within ${String(READ_TIMEOUT_MS / 1000)} s`,
    {
      hint: 'see that the repository is reachable from this host: `pgbackrest info`; the run goes on by itself when it is',
    },
  );
}

function spawnProgram(file: string, args: readonly string[], runAs: RunAs | null) {
  return spawn(file, args, {
    cwd: '/',
    env: minimalEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(runAs ?? {}),
  });
}

function ended(child: ReturnType<typeof spawnProgram>, file: string): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => {
      reject(
        stepFailure('CommandFailed', `cannot start ${file}: ${error.message}`, {
          hint: 'install pgbackrest on this host, or correct backups.command in the config',
        }),
      );
    });
    child.once('close', resolve);
  });
}

function createLineReader(take: (line: string) => void): { push: (piece: Buffer) => void; finish: () => void } {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  return {
    push(piece) {
      const lines = (rest + decoder.write(piece)).split('\n');
      rest = lines.pop() ?? '';
      lines.forEach(take);
    },
    finish() {
      if (rest !== '') take(rest);
    },
  };
}
