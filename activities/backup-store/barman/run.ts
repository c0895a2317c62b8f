/** Runs Barman. An answer that is none is a failure, never "nothing there" (invariant 7). */
import { execa } from 'execa';

import type { BarmanConfig } from '../../../config/schema.js';
import { describeFailure, minimalEnvironment, runProgram, type ProgramResult } from '../../lib/exec.js';
import { isFailureOf, stepFailure } from '../../lib/failure.js';
import { barmanCall, callThere, getWalArgs, type Call } from './commands.js';

export type Barman = {
  readonly config: BarmanConfig;
  /**
   * What a command with `-f json` printed. Throws StoreUnavailable when it printed no JSON, and for an error in it too (or what `refusal` says), whatever its
   * exit code says.
   */
  ask(
    args: readonly string[],
    options?: { timeoutMs?: number; refusal?: 'CommandFailed' },
  ): Promise<Record<string, unknown>>;
  /** Runs a command to its end; how it ended is the caller's to judge, by looking at what it was to bring about. */
  run(args: readonly string[], timeoutMs?: number): Promise<ProgramResult>;
  /** Runs any program where Barman runs. */
  runThere(words: readonly string[], input?: string): Promise<ProgramResult>;
  /** One file of the archive as Barman hands it out, unpacked. */
  wal(name: string): Promise<Buffer>;
};

/** Commands that look take a second; one that waits for a server that does not answer is cut off by libpq before this. */
const ASK_TIMEOUT_MS = 60_000;

/** Barman connects to PostgreSQL also where only its files are wanted; a machine that is off must not hold that for two minutes. */
const ENVIRONMENT = { PGCONNECT_TIMEOUT: '10' };

/** The Barman of a configuration; nothing is started yet. */
export function createBarman(config: BarmanConfig): Barman {
  const start = async (call: Call, timeoutMs: number, input?: string): Promise<ProgramResult> => {
    try {
      const options = { env: ENVIRONMENT, timeoutMs, ...(input === undefined ? {} : { input }) };
      return await runProgram(call.program, call.args, options);
    } catch (error) {
      if (isFailureOf(error, 'CommandFailed')) throw notStarted(call.program, error);
      throw error;
    }
  };
  const barman: Barman = {
    config,
    async ask(args, { timeoutMs = ASK_TIMEOUT_MS, refusal } = {}) {
      const result = await start(barmanCall(config, args), timeoutMs);
      const answer = parseAnswer(result.stdout);
      if (answer === null || '_ERROR' in answer || '_EXCEPTION' in answer) {
        throw refused(config, result, answer, refusal ?? 'StoreUnavailable');
      }
      return answer;
    },
    run: (args, timeoutMs = ASK_TIMEOUT_MS) => start(barmanCall(config, args), timeoutMs),
    runThere: (words, input) => start(callThere(config, words), ASK_TIMEOUT_MS, input),
    wal: (name) => readWal(config, name),
  };
  return barman;
}

/** The JSON object in what Barman printed, null when there is none. */
export function parseAnswer(text: string): Record<string, unknown> | null {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/** What Barman said went wrong, in one line. */
export function problemIn(answer: Record<string, unknown> | null): string | null {
  const said = [answer?.['_ERROR'], answer?.['_EXCEPTION']].flat().filter((line) => typeof line === 'string');
  return said.length === 0 ? null : said.join('; ').replaceAll('\n', ' ');
}

function refused(
  config: BarmanConfig,
  result: ProgramResult,
  answer: Record<string, unknown> | null,
  refusal: 'StoreUnavailable' | 'CommandFailed',
): Error {
  const problem = problemIn(answer);
  const where = config.remote === undefined ? 'barman' : `barman at ${config.remote.host}`;
  if (problem !== null && /^Unknown server /.test(problem)) {
    return stepFailure('ConfigInvalid', `${where} does not know the server "${config.server}"`, {
      hint: 'nothing was touched; `barman list-servers` names those that it knows: correct backups.server',
    });
  }
  if (problem !== null && refusal === 'CommandFailed') {
    return stepFailure('CommandFailed', `${where} refused: ${problem}`, {
      hint: 'mend what barman names (its log has more), then `pgr retry`',
    });
  }
  const text = problem ?? describeFailure(result);
  return stepFailure('StoreUnavailable', `${where} gave no answer: ${text}`, {
    hint: `run \`${config.command.join(' ')} check ${config.server}\` as the user of the worker; the run goes on by itself when Barman answers`,
  });
}

function notStarted(program: string, cause: unknown): Error {
  return stepFailure('PreconditionFailed', `cannot start ${program}`, {
    hint: 'install it on the host of this worker, or correct backups.command; then `pgr retry`',
    cause,
  });
}

async function readWal(config: BarmanConfig, name: string): Promise<Buffer> {
  const { program, args } = barmanCall(config, getWalArgs(config.server, name));
  const result = await execa(program, args, {
    reject: false,
    encoding: 'buffer',
    extendEnv: false,
    env: { ...minimalEnvironment(), ...ENVIRONMENT },
    cwd: '/',
    timeout: ASK_TIMEOUT_MS,
    stdin: 'ignore',
    maxBuffer: 2 * 1024 * 1024 * 1024,
  });
  if (result.exitCode === 0) return Buffer.from(result.stdout);
  const said = Buffer.from(result.stderr).toString('utf8').trim().slice(-400);
  throw stepFailure('StoreUnavailable', `barman did not hand out ${name}: ${said === '' ? 'no reason given' : said}`, {
    hint: `run \`${config.command.join(' ')} get-wal ${config.server} ${name}\` to see why`,
  });
}
