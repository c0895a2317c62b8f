/** Names and flags that scripts rely on (the fixed command line): more may be added, none may go or change its name. */
import type { Command } from 'commander';

import { buildProgram } from '../../cli/program.js';
import type { CliContext } from '../../cli/context.js';
import { FAILURES } from '../../shared/failures.js';
import { pgr } from '../support/cli-harness.js';

const FIXED: Record<string, string[]> = {
  'topology <env>': ['--no-probe'],
  'pg-health': ['--node'],
  'window <env>': [],
  'check <env>': [],
  'pitr <env>': ['--to', '--ago', '--promote', '--reason', '--host', '--ttl', '--plan', '--wait', '--watch', '--by'],
  'promote <env>': ['--from', '--wait', '--watch'],
  'restore-dump <env>': [
    ...['--from', '--password', '--globals', '--jobs', '--quick', '--hand-over', '--plan', '--host', '--ttl'],
    ...['--encoding', '--locale', '--locale-provider', '--reason', '--wait', '--watch', '--by'],
  ],
  'restore-dev <env>': [
    ...['--source', '--fast', '--full', '--deferred', '--into', '--password', '--plan', '--reason'],
    ...['--wait', '--watch', '--by'],
  ],
  'restore-controller <env>': ['--plan', '--reason', '--wait', '--watch', '--by'],
  'discard <run>': [],
  'undo <run>': ['--wait', '--watch'],
  'flip-db <env>': ['--to', '--failover', '--mode', '--reason', '--plan', '--wait', '--watch', '--by'],
  'rebuild-standby <env> <node>': ['--method', '--rate-limit', '--reason', '--plan', '--wait', '--watch', '--by'],
  'snapshots list <env>': [],
  'snapshots prune <env>': ['--older-than', '--keep', '--wait', '--watch', '--by'],
  'take-base <env>': ['--incremental'],
  'runs [env]': ['--status', '--since'],
  'show <run>': [],
  'watch <run>': [],
  'approve <run> <gate>': ['--code', '--by', '--comment', '--print', '--sign'],
  'reject <run> <gate>': ['--code', '--by', '--comment', '--print', '--sign'],
  'retry <run>': [],
  'skip <run>': ['--reason'],
  'abort <run>': ['--reason'],
  'audit list [env]': [],
  'audit show <run>': [],
  'audit verify [run]': ['--file'],
  'audit export <run>': [],
  'report <run>': [],
  worker: ['--host', '--orchestrator', '--all'],
  'config check': [],
  'config show': [],
  'config schema': [],
};

const program = buildProgram(
  {
    io: { columns: 80, color: false, isTty: false, out: () => undefined, err: () => undefined },
  } as unknown as CliContext,
  '0.0.0',
);

function tree(command: Command, prefix = ''): Map<string, Command> {
  const all = new Map<string, Command>();
  for (const child of command.commands) {
    const args = child.registeredArguments.map((argument) =>
      argument.required ? ` <${argument.name()}>` : ` [${argument.name()}]`,
    );
    const name = `${prefix}${child.name()}`;
    if (child.commands.length > 0) for (const [key, value] of tree(child, `${name} `)) all.set(key, value);
    else all.set(`${name}${args.join('')}`, child);
  }
  return all;
}

const commands = tree(program);

test.each(Object.entries(FIXED))('pgr %s', (name, flags) => {
  const command = commands.get(name);
  expect([...commands.keys()]).toContain(name);
  expect(command?.options.map(({ long }) => long)).toEqual(expect.arrayContaining(flags));
});

test('--json, --config and --dir are taken everywhere', () => {
  expect(program.options.map(({ long }) => long)).toEqual(expect.arrayContaining(['--json', '--config', '--dir']));
});

test.each([...commands.keys()].filter((name) => !name.startsWith('lab')))(
  'the help of %s shows an example',
  async (name) => {
    const words = name.split(' ').filter((word) => !/^[<[]/.test(word));
    const { code, out } = await pgr([...words, '--help'], { config: null });
    expect(code).toBe(0);
    expect(out).toMatch(/\nExamples?:\n {2}pgr /);
  },
);

test('help needs neither config nor server', async () => {
  for (const args of [['--help'], ['help'], ['help', 'pitr'], ['--version']]) {
    const { code, err } = await pgr(args, { config: null });
    expect({ args, code, err }).toEqual({ args, code: 0, err: '' });
  }
});

test('every failure of the closed list has an exit code of the published table', () => {
  const published = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 70, 130];
  for (const [name, { exitCode }] of Object.entries(FAILURES))
    expect({ name, ok: published.includes(exitCode) }).toEqual({ name, ok: true });
});
