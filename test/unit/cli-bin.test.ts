/** `bin/pgr` itself, in a copy of the checkout's outline with an npm that only says what it was asked. */
import { spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';

let root: string;
let env: NodeJS.ProcessEnv;

const at = (...parts: string[]): string => path.join(root, ...parts);
function put(file: string, text: string, mode = 0o644): void {
  mkdirSync(path.dirname(at(file)), { recursive: true });
  writeFileSync(at(file), text, { mode });
}
/** Seconds from now; negative is older. */
function age(file: string, seconds: number): void {
  const time = Date.now() / 1000 + seconds;
  utimesSync(at(file), time, time);
}

const SAY = `console.log(JSON.stringify({ program: require('path').relative(process.env.ROOT, process.argv[1]), args: process.argv.slice(2) }));`;

beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'pgr-bin-'));
  mkdirSync(at('bin'));
  cpSync(path.resolve(__dirname, '../../bin/pgr'), at('bin/pgr'));
  put('package-lock.json', '{}');
  put('tsconfig.build.json', '{}');
  put('scripts/bundle.mjs', '');
  put('cli/main.ts', '');
  put('template/main.js', SAY);
  put(
    'fake/npm',
    `#!/bin/sh
echo "$*" >>"$ROOT/npm-calls"
case $1 in
  ci) sleep 0.2; mkdir -p "$ROOT/node_modules"; echo '{}' >"$ROOT/node_modules/.package-lock.json" ;;
  run)
    [ -z "\${FAIL_BUILD:-}" ] || { echo "cli/main.ts(1,1): error TS1005"; exit 2; }
    for f in cli/main.js workers/main.js workers/wal-push.js; do mkdir -p "$ROOT/dist/$(dirname $f)"; cp "$ROOT/template/main.js" "$ROOT/dist/$f"; done
    date >"$ROOT/dist/.built" ;;
esac
`,
    0o755,
  );
  for (const file of ['package-lock.json', 'scripts/bundle.mjs', 'cli/main.ts']) age(file, -100);
  env = { ...process.env, ROOT: root, PATH: `${at('fake')}:${process.env['PATH'] ?? ''}` };
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

type Said = { program: string; args: string[] };
function pgr(args: string[], change: { program?: string; env?: NodeJS.ProcessEnv; cwd?: string } = {}) {
  const run = spawnSync(change.program ?? at('bin/pgr'), args, {
    env: { ...env, ...change.env },
    cwd: change.cwd ?? root,
    encoding: 'utf8',
  });
  const said = run.stdout === '' ? null : (JSON.parse(run.stdout) as Said);
  return { code: run.status, said, err: run.stderr };
}
const npmCalls = (): string[] =>
  existsSync(at('npm-calls')) ? readFileSync(at('npm-calls'), 'utf8').trim().split('\n') : [];

test('a fresh clone is installed and built, told in one line each, and the command runs', () => {
  const { code, said, err } = pgr(['runs', '--json']);
  expect({ code, said }).toEqual({ code: 0, said: { program: 'dist/cli/main.js', args: ['runs', '--json'] } });
  expect(err).toBe('pgr: installing packages (once)\npgr: building (after a change of the sources)\n');
  expect(npmCalls().map((call) => call.split(' ')[0])).toEqual(['ci', 'run']);
});

test('nothing to do: not a word, npm is not asked, and arguments arrive as they are', () => {
  pgr(['runs']);
  const { said, err } = pgr(['pitr', 'lab', '--reason', 'a "b" $c  d', '']);
  expect(said?.args).toEqual(['pitr', 'lab', '--reason', 'a "b" $c  d', '']);
  expect(err).toBe('');
  expect(npmCalls()).toHaveLength(2);
});

test.each([
  ['a source', 'cli/main.ts', ['run']],
  ['the bundler script', 'scripts/bundle.mjs', ['run']],
  ['the lock file', 'package-lock.json', ['ci', 'run']],
])('%s that is newer than the build is built in', (_title, file, expected) => {
  pgr(['runs']);
  age(file, 100);
  pgr(['runs']);
  expect(
    npmCalls()
      .slice(2)
      .map((call) => call.split(' ')[0]),
  ).toEqual(expected);
});

test('worker and wal-push are programs of their own; the help of worker comes from the command line', () => {
  pgr(['runs']);
  expect(pgr(['worker', '--all']).said).toEqual({ program: 'dist/workers/main.js', args: ['worker', '--all'] });
  expect(pgr(['worker', '--help']).said?.program).toBe('dist/cli/main.js');
  expect(pgr(['wal-push', 'pg_wal/1']).said).toEqual({ program: 'dist/workers/wal-push.js', args: ['pg_wal/1'] });
  put('dist/wal-push.cjs', SAY);
  expect(pgr(['wal-push', 'pg_wal/1']).said).toEqual({ program: 'dist/wal-push.cjs', args: ['pg_wal/1'] });
});

test('pg-health is a program of its own, the single file where there is one; its help comes from the command line', () => {
  pgr(['runs']);
  put('dist/workers/pg-health.js', SAY);
  expect(pgr(['pg-health', '--node', 'dallas']).said).toEqual({
    program: 'dist/workers/pg-health.js',
    args: ['--node', 'dallas'],
  });
  put('dist/pg-health.cjs', SAY);
  expect(pgr(['pg-health', '--node', 'dallas']).said?.program).toBe('dist/pg-health.cjs');
  expect(pgr(['pg-health', '--help']).said).toEqual({ program: 'dist/cli/main.js', args: ['pg-health', '--help'] });
});

test('wal-push never builds: the server runs it, and may write nothing here', () => {
  pgr(['runs']);
  age('cli/main.ts', 100);
  pgr(['wal-push', 'x']);
  expect(npmCalls()).toHaveLength(2);
});

test('works through a symbolic link and from another directory', () => {
  symlinkSync('../bin/pgr', at('fake/pgr'));
  const { said } = pgr(['runs'], { program: at('fake/pgr'), cwd: '/' });
  expect(said?.program).toBe('dist/cli/main.js');
});

test('an installed package without sources is never built', () => {
  pgr(['runs']);
  rmSync(at('tsconfig.build.json'));
  rmSync(at('package-lock.json'));
  expect(pgr(['runs']).err).toBe('');
  expect(npmCalls()).toHaveLength(2);
});

test('a build that fails says why, and the next call tries again', () => {
  const { code, err } = pgr(['runs'], { env: { FAIL_BUILD: '1' } });
  expect(code).toBe(1);
  expect(err).toMatch(/error TS1005[\s\S]*error: the build failed\nhint: /);
  expect(existsSync(at('dist/.lock'))).toBe(false);
  expect(pgr(['runs']).code).toBe(0);
});

test('three first calls at once install and build once', async () => {
  const call = (): Promise<number | null> =>
    new Promise((resolve) => {
      spawn(at('bin/pgr'), ['runs'], { env, stdio: 'ignore' }).on('close', resolve);
    });
  expect(await Promise.all([call(), call(), call()])).toEqual([0, 0, 0]);
  expect(npmCalls().map((text) => text.split(' ')[0])).toEqual(['ci', 'run']);
});

test('a lock whose holder was killed is taken over', () => {
  mkdirSync(at('dist/.lock'), { recursive: true });
  // A pid beyond any that the kernel gives.
  writeFileSync(at('dist/.lock/pid'), '4194999\n');
  expect(pgr(['runs']).code).toBe(0);
});

test('packages are never installed through a link: another checkout may live on them', () => {
  mkdirSync(at('elsewhere'));
  put('elsewhere/.package-lock.json', '{}');
  put('elsewhere/kept', '');
  symlinkSync(at('elsewhere'), at('node_modules'));
  age('elsewhere/.package-lock.json', -200);
  const { code, err } = pgr(['runs']);
  expect(code).toBe(5);
  expect(err).toContain(`node_modules is a link to ${at('elsewhere')}`);
  expect(err).toContain('npm ci');
  expect(npmCalls()).toEqual([]);
  expect(existsSync(at('elsewhere/kept'))).toBe(true);
  // Up to date, it is as good as a directory, and the lock was given back.
  age('elsewhere/.package-lock.json', 0);
  expect(pgr(['runs']).code).toBe(0);
  expect(npmCalls().map((call) => call.split(' ')[0])).toEqual(['run']);
});
