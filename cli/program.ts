/** The command tree. Registering is cheap: what a command needs is loaded when it runs. */
import { Command } from 'commander';

import { registerApprove, registerReject } from './commands/decisions.js';
import { registerAbort, registerRetry, registerSkip } from './commands/attention.js';
import { registerAudit } from './commands/audit.js';
import { registerCheck } from './commands/check.js';
import { registerConfig } from './commands/config.js';
import { registerDiscard } from './commands/discard.js';
import { registerFlipDb } from './commands/flip-db.js';
import { registerLab } from './commands/lab.js';
import { registerNotify } from './commands/notify.js';
import { registerPgHealth } from './commands/pg-health.js';
import { registerPitr } from './commands/pitr.js';
import { registerPromote } from './commands/promote.js';
import { registerRebuildStandby } from './commands/rebuild-standby.js';
import { registerReport } from './commands/report.js';
import { registerRestoreDev } from './commands/restore-dev.js';
import { registerRestoreController } from './commands/restore-controller.js';
import { registerRestoreDump } from './commands/restore-dump.js';
import { registerRuns } from './commands/runs.js';
import { registerShow, registerWatch } from './commands/show.js';
import { registerSnapshots } from './commands/snapshots.js';
import { registerTakeBase } from './commands/take-base.js';
import { registerTopology } from './commands/topology.js';
import { registerUndo } from './commands/undo.js';
import { registerWindow } from './commands/window.js';
import { registerWorker } from './commands/worker.js';
import type { CliContext } from './context.js';

/** Flags that every command takes, before or after its name. */
export type GlobalFlags = { json?: boolean; config?: string; dir?: string; color?: boolean };

type Register = (program: Command, context: CliContext) => void;

const GROUPS: readonly { title: string; commands: readonly Register[] }[] = [
  {
    title: 'Recover:',
    commands: [
      registerTopology,
      registerWindow,
      registerCheck,
      registerPitr,
      registerPromote,
      registerRestoreDump,
      registerRestoreController,
      registerDiscard,
      registerUndo,
      registerTakeBase,
    ],
  },
  { title: 'Keep it serving:', commands: [registerFlipDb, registerRebuildStandby, registerSnapshots] },
  { title: 'Develop:', commands: [registerRestoreDev] },
  { title: 'Follow:', commands: [registerRuns, registerShow, registerWatch] },
  { title: 'Decide:', commands: [registerApprove, registerReject, registerRetry, registerSkip, registerAbort] },
  { title: 'Prove:', commands: [registerAudit, registerReport] },
  {
    title: 'Run and configure:',
    commands: [registerLab, registerWorker, registerPgHealth, registerNotify, registerConfig],
  },
];

const EXIT_CODES = `
Exit codes:
  0 ok  1 failed  2 usage  3 not found  4 not allowed  5 refused by a check  6 decision refused
  7 waiting for approval (--wait)  8 still running (--wait)  9 needs attention  70 bug  130 interrupted

First recovery: pgr lab up && pgr lab accident truncate && pgr window lab`;

/** `pgr` with all commands. Parsing errors are thrown, not printed. */
export function buildProgram(context: CliContext, version: string): Command {
  const program = new Command('pgr')
    .description('PostgreSQL recovery runbooks that survive the death of anything, with approvals and a record')
    .version(version, '--version')
    .option('--json', 'one JSON document on standard output, errors included')
    .option('--config <file>', 'recovery.yaml (default: PGR_CONFIG, ./recovery.yaml, ~/.config/pgr, the running lab)')
    .option('--dir <dir>', 'directory of the lab (default: PGR_LAB_DIR or ./.lab)')
    .option('--no-color', 'no colours (also: NO_COLOR)')
    .addHelpText('after', EXIT_CODES)
    .showSuggestionAfterError(true)
    .configureHelp({ showGlobalOptions: false, helpWidth: context.io.columns })
    .configureOutput({
      writeOut: (text) => {
        context.io.out(text);
      },
      writeErr: () => undefined, // told once, by the one place that prints errors
    })
    .exitOverride();
  for (const { title, commands } of GROUPS) {
    program.commandsGroup(title);
    for (const register of commands) register(program, context);
  }
  program.helpCommand('help [command]', 'help of a command');
  return program;
}
