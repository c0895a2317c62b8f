/** One call of `pgr`, from arguments to exit code. Everything from outside comes in, so that tests run exactly this. */
import { CommanderError, type Command } from 'commander';

import { PgrFailure } from '../shared/pgr-failure.js';
import type { Config } from '../config/schema.js';
import { labDirOf } from '../config/find.js';
import { normaliseWait } from './commands/options.js';
import type { CliContext, CliIo, LoadedConfig } from './context.js';
import { errorDocument, formatError, viewOfError } from './error-output.js';
import { buildProgram, type GlobalFlags } from './program.js';
import type { RunClient } from './run-client.js';

export type CliHost = {
  io: CliIo;
  env: Readonly<Record<string, string | undefined>>;
  cwd: string;
  version: string;
  now: () => Date;
  interrupted: AbortSignal;
  sleep: (milliseconds: number) => Promise<void>;
  connect: (config: Config) => Promise<RunClient>;
};

type Session = {
  flags: () => GlobalFlags;
  exitCode: number;
  client: Promise<RunClient> | null;
  config: Promise<LoadedConfig> | null;
};

/** Runs a command line (without `node` and the script); the exit code. */
export async function runCli(argv: readonly string[], host: CliHost): Promise<number> {
  const session: Session = { flags: () => ({}), exitCode: 0, client: null, config: null };
  const context = createContext(host, session, argv.includes('--no-color'));
  const program = buildProgram(context, host.version);
  // Before parsing has ended, an error must already know which form to take.
  const early: GlobalFlags = argv.includes('--json') ? { json: true } : {};
  session.flags = () => ({ ...early, ...program.opts<GlobalFlags>() });
  try {
    await program.parseAsync(normaliseWait(argv), { from: 'user' });
    return session.exitCode;
  } catch (error) {
    return reportError(usageOf(error, program, argv), context);
  } finally {
    await (await session.client?.catch(() => null))?.close();
  }
}

function createContext(host: CliHost, session: Session, noColor: boolean): CliContext {
  const io: CliIo = noColor ? { ...host.io, color: false } : host.io;
  const json = (): boolean => session.flags().json === true;
  const place = () => ({ env: host.env, cwd: host.cwd, labDir: session.flags().dir });
  const loadOnce = async (): Promise<LoadedConfig> => {
    const { findConfig, loadConfig } = await import('../config/load.js');
    const path = await findConfig({ ...place(), explicit: session.flags().config });
    return { path, config: await loadConfig(path) };
  };
  const config = (): Promise<LoadedConfig> => (session.config ??= loadOnce());
  return {
    io,
    env: host.env,
    cwd: host.cwd,
    now: host.now,
    json,
    result: (document, text) => {
      io.out(json() ? `${JSON.stringify({ api: 1, ...document })}\n` : text());
    },
    labDir: () => labDirOf(place()),
    config,
    client: () => (session.client ??= config().then(({ config: loaded }) => host.connect(loaded))),
    exit: (code) => {
      session.exitCode = code;
    },
    interrupted: host.interrupted,
    sleep: host.sleep,
  };
}

function usageOf(error: unknown, program: Command, argv: readonly string[]): unknown {
  if (!(error instanceof CommanderError) || error.exitCode === 0) return error;
  return usageFailure(error, program, argv);
}

function reportError(error: unknown, { io, json }: CliContext): number {
  if (error instanceof CommanderError) return 0; // --help and --version have printed
  const view = viewOfError(error);
  if (json()) io.out(`${JSON.stringify(errorDocument(view))}\n`);
  else io.err(formatError(view));
  return view.exitCode;
}

/** What the parser says, as an error like any other; the hint names the help of the command that was meant. */
function usageFailure(error: CommanderError, program: Command, argv: readonly string[]): PgrFailure {
  const help = `${commandOf(program, argv)} --help`;
  if (error.code === 'commander.help')
    return new PgrFailure('BadUsage', 'a command is missing', { hint: `run \`${help}\``, next: [help] });
  const [message = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const hint = suggestion === undefined ? `run \`${help}\`` : suggestion.replace(/^\((.*)\)$/, '$1');
  return new PgrFailure('BadUsage', message, { hint, next: [help] });
}

/** `pgr audit show`, as far as the words name commands. */
function commandOf(program: Command, argv: readonly string[]): string {
  const names = [program.name()];
  let at = program;
  for (const word of argv) {
    const next = at.commands.find((command) => command.name() === word);
    if (next === undefined) continue;
    names.push(word);
    at = next;
  }
  return names.join(' ');
}
