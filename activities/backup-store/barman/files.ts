/** The directories in which Barman keeps WAL, read here or, for a Barman on another machine, through ssh. */
import { execa } from 'execa';
import { open, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import { minimalEnvironment } from '../../lib/exec.js';
import { stepFailure } from '../../lib/failure.js';
import { callThere } from './commands.js';
import type { Barman } from './run.js';

export type FoundFile = {
  path: string;
  name: string;
  bytes: number;
  modifiedMs: number;
  /** The first bytes, by which its compression is told: Barman gives its files no endings. */
  head: Buffer;
};

export type BarmanFiles = {
  /** Files in `dir` and in the directories in it whose names begin with `prefix`. Empty only for a directory that is not there or empty. */
  list(dir: string, prefix: string): Promise<FoundFile[]>;
  /** Null when the file is not there (any more). */
  read(file: string): Promise<Buffer | null>;
};

const HEAD_BYTES = 16;
const OPEN_AT_ONCE = 16;
const READ_TIMEOUT_MS = 120_000;

/** Barman is written in Python, so there is one where it runs. Prints one line for each file. */
const LIST_PROGRAM = `
import os, sys
top, prefix, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
def show(p):
    try:
        s = os.stat(p)
        with open(p, "rb") as f: h = f.read(n).hex()
    except FileNotFoundError: return
    print(s.st_size, int(s.st_mtime * 1000), h or "-", p)
try: names = sorted(os.listdir(top))
except FileNotFoundError: names = []
for e in names:
    p = os.path.join(top, e)
    if os.path.isdir(p):
        if len(e) == 16 and (e.startswith(prefix[:16]) or prefix.startswith(e)):
            for f in sorted(os.listdir(p)):
                if f.startswith(prefix): show(os.path.join(p, f))
    elif e.startswith(prefix): show(p)
`;

/** The files of a Barman. */
export function createBarmanFiles(barman: Barman): BarmanFiles {
  return barman.config.remote === undefined ? localFiles() : remoteFiles(barman);
}

function localFiles(): BarmanFiles {
  return {
    async list(dir, prefix) {
      const found: string[] = [];
      for (const entry of await entriesOf(dir)) {
        const at = path.join(dir, entry.name);
        if (!entry.isDirectory()) found.push(at);
        else if (/^[0-9A-F]{16}$/.test(entry.name) && isPathTo(entry.name, prefix)) {
          found.push(...(await entriesOf(at)).map(({ name }) => path.join(at, name)));
        }
      }
      const wanted = found.filter((file) => path.basename(file).startsWith(prefix));
      const facts: FoundFile[] = [];
      for (let start = 0; start < wanted.length; start += OPEN_AT_ONCE) {
        const some = await Promise.all(wanted.slice(start, start + OPEN_AT_ONCE).map(factsOf));
        facts.push(...some.filter((one) => one !== null));
      }
      return facts;
    },
    read: (file) => orNull(file, () => readFile(file)),
  };
}

/** The directory may hold names with this prefix. */
function isPathTo(directory: string, prefix: string): boolean {
  return prefix.startsWith(directory) || directory.startsWith(prefix.slice(0, 16));
}

async function entriesOf(dir: string): Promise<{ name: string; isDirectory(): boolean }[]> {
  return (await orNull(dir, () => readdir(dir, { withFileTypes: true }))) ?? [];
}

async function factsOf(file: string): Promise<FoundFile | null> {
  return orNull(file, async () => {
    const handle = await open(file, 'r');
    try {
      const { size, mtimeMs } = await handle.stat();
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
      return {
        path: file,
        name: path.basename(file),
        bytes: size,
        modifiedMs: mtimeMs,
        head: buffer.subarray(0, bytesRead),
      };
    } finally {
      await handle.close();
    }
  });
}

/** Null for a file that is not there. Any other error is one: a directory that may not be read is not an empty one. */
async function orNull<T>(file: string, read: () => Promise<T>): Promise<T | null> {
  try {
    return await read();
  } catch (error) {
    const { code } = (error ?? {}) as { code?: unknown };
    if (code === 'ENOENT') return null;
    const message = `cannot read ${file} of barman: ${typeof code === 'string' ? code : String(error)}`;
    if (code !== 'EACCES' && code !== 'EPERM') throw stepFailure('StoreUnavailable', message, { cause: error });
    throw stepFailure('NotAllowed', message, {
      hint: 'let the user of the worker read the home of Barman, or set backups.remote so that its own user reads it (docs/stores-barman.md)',
      cause: error,
    });
  }
}

function remoteFiles(barman: Barman): BarmanFiles {
  const unreachable = (what: string, stderr: string): Error =>
    stepFailure(
      'StoreUnavailable',
      `cannot ${what} at ${barman.config.remote?.host ?? ''}: ${stderr.trim().slice(-300)}`,
      {
        hint: 'ssh to the machine of Barman must work without a password for the user of the worker; the run goes on by itself when it does',
      },
    );
  return {
    async list(dir, prefix) {
      const result = await barman.runThere(['python3', '-c', LIST_PROGRAM, dir, prefix, String(HEAD_BYTES)]);
      if (result.exitCode !== 0) throw unreachable(`list ${dir}`, result.stderr);
      return parseListing(result.stdout);
    },
    async read(file) {
      const { program, args } = callThere(barman.config, ['cat', '--', file]);
      const result = await execa(program, args, {
        reject: false,
        encoding: 'buffer',
        extendEnv: false,
        env: minimalEnvironment(),
        cwd: '/',
        timeout: READ_TIMEOUT_MS,
        stdin: 'ignore',
        maxBuffer: 2 * 1024 * 1024 * 1024,
      });
      if (result.exitCode === 0) return Buffer.from(result.stdout);
      const gone = (await barman.runThere(['test', '-e', file])).exitCode === 1;
      if (gone) return null;
      throw unreachable(`read ${file}`, Buffer.from(result.stderr).toString('utf8'));
    },
  };
}

/** Lines of {@link LIST_PROGRAM}. */
export function parseListing(text: string): FoundFile[] {
  return text.split('\n').flatMap((line): FoundFile[] => {
    const match = /^(\d+) (\d+) ([0-9a-f]+|-) (\/.*)$/.exec(line);
    if (match === null) return [];
    const [, bytes, modified, head = '-', file = ''] = match;
    return [
      {
        path: file,
        name: path.basename(file),
        bytes: Number(bytes),
        modifiedMs: Number(modified),
        head: head === '-' ? Buffer.alloc(0) : Buffer.from(head, 'hex'),
      },
    ];
  });
}
