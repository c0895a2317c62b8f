import { Option, Argument, type Command } from 'commander';
import { realpath } from 'node:fs/promises';
import path from 'node:path';

import type { CliContext } from '../context.js';
import { ACCIDENTS, type AccidentKind } from '../../lab/accident-sql.js';
import { createProgress, type LabProgress } from '../../lab/progress.js';
import { withExample } from './options.js';

type UpFlags = { postgresMajor?: '17' | '18'; with?: string };

const EXIT_INTERRUPTED = 130;

/** `pgr lab`: the embedded environment. What the actions need is loaded when they run. */
export function registerLab(program: Command, context: CliContext): void {
  const lab = program
    .command('lab')
    .description('a real environment on this machine: Temporal, S3, two PostgreSQL nodes, an application');
  registerUp(lab, context);
  registerStatus(lab, context);
  registerDown(lab, context);
  registerDestroy(lab, context);
  registerAccident(lab, context);
}

function registerUp(lab: Command, context: CliContext): void {
  const command = lab
    .command('up')
    .description('bring it up, or back up: after a kill, a reboot, or `pgr lab down`')
    .addOption(
      new Option('--postgres-major <major>', 'major version of a new lab (default: 18, or what PATH has)').choices([
        '17',
        '18',
      ]),
    );
  command.option(
    '--with <parts>',
    'haproxy, pgbouncer, zfs (by commas): a write VIP, a pooler before it, datasets for the data',
  );
  withExample(command, 'pgr lab up', 'pgr lab up --with haproxy,pgbouncer,zfs', 'pgr lab up --dir /srv/lab').action(
    async (flags: UpFlags) => {
      const [{ labUp }, { parseExtras }] = await Promise.all([
        import('../../lab/up.js'),
        import('../../lab/extras.js'),
      ]);
      const extras = flags.with === undefined ? [] : parseExtras(flags.with);
      const dir = context.labDir();
      leaveOnInterrupt(context, 'what was started goes on; run `pgr lab up` again to finish');
      context.io.err(`lab in ${dir}\n`);
      await labUp({
        dir,
        progress: progressOf(context),
        ...(await programs(context)),
        env: context.env,
        with: extras,
        ...(flags.postgresMajor === undefined ? {} : { postgresMajor: flags.postgresMajor === '17' ? 17 : 18 }),
      });
      await printStatus(context);
    },
  );
}

function registerStatus(lab: Command, context: CliContext): void {
  const command = lab
    .command('status')
    .description('what runs, where it is, and the addresses (passwords with --json only)');
  withExample(command, 'pgr lab status --json').action(() => printStatus(context));
}

async function printStatus(context: CliContext): Promise<void> {
  const [{ labStatus }, { describeStatus }] = await Promise.all([
    import('../../lab/status.js'),
    import('../../lab/describe.js'),
  ]);
  const status = await labStatus(context.labDir());
  context.result(status, () => describeStatus(status));
}

function registerDown(lab: Command, context: CliContext): void {
  const command = lab.command('down').description('stop exactly what the lab started; `pgr lab up` brings it back');
  withExample(command, 'pgr lab down').action(async () => {
    const { labDown } = await import('../../lab/down.js');
    const dir = context.labDir();
    const { stopped } = await labDown(dir, progressOf(context));
    const what = stopped.length === 0 ? 'nothing ran' : `stopped ${stopped.join(', ')}`;
    context.result({ dir, state: 'down', stopped }, () => `lab down in ${dir}: ${what}\nnext: pgr lab up\n`);
  });
}

function registerDestroy(lab: Command, context: CliContext): void {
  const command = lab
    .command('destroy')
    .description('stop it and remove its directory with all its data, records and backups')
    .option('-y, --yes', 'for symmetry with other commands: a lab is thrown away without asking');
  withExample(command, 'pgr lab destroy').action(async () => {
    const { labDestroy } = await import('../../lab/destroy.js');
    const { dir } = await labDestroy(context.labDir(), progressOf(context));
    context.result({ dir, state: 'destroyed' }, () => `lab removed: ${dir}\nnext: pgr lab up\n`);
  });
}

function registerAccident(lab: Command, context: CliContext): void {
  const command = lab
    .command('accident')
    .description('a realistic mistake on the primary; prints when and in which transaction it happened')
    .addArgument(new Argument('<mistake>', 'what goes wrong').choices(ACCIDENTS));
  withExample(command, 'pgr lab accident delete-without-where').action(async (kind: AccidentKind) => {
    const [{ labAccident }, { describeAccident }] = await Promise.all([
      import('../../lab/accident.js'),
      import('../../lab/describe.js'),
    ]);
    const report = await labAccident(context.labDir(), kind, progressOf(context));
    context.result(report, () => describeAccident(report));
  });
}

function progressOf(context: CliContext): LabProgress {
  return createProgress((text) => {
    context.io.err(text);
  });
}

/** Ctrl-C leaves at once: every stage is taken up again by the next call, and the lock of a dead process is taken over. */
function leaveOnInterrupt(context: CliContext, text: string): void {
  context.interrupted.addEventListener(
    'abort',
    () => {
      context.io.err(`${text}\n`);
      process.exit(EXIT_INTERRUPTED);
    },
    { once: true },
  );
}

/** The built programs beside this one (`dist/cli/main.js`), and the node that runs it. */
async function programs(context: CliContext): Promise<{ distDir: string; node: string }> {
  const named = context.env['PGR_DIST_DIR'];
  const main = await realpath(process.argv[1] ?? '');
  return { distDir: named ?? path.dirname(path.dirname(main)), node: process.execPath };
}
