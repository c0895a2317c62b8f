/** Short external programs (seconds). Anything that may take longer is a job (architecture section 7). */
import { execa } from 'execa';

import { stepFailure } from './failure.js';

export type RunAs = { uid: number; gid: number };

export type ProgramOptions = {
  /** User of the process when we are root; the caller decides with `runAsOwner`. */
  runAs?: RunAs;
  env?: Record<string, string>;
  cwd?: string;
  timeoutMs?: number;
  input?: string;
};

export type ProgramResult = {
  command: string;
  exitCode: number | null;
  signal: string | null;
  timedOut: boolean;
  stdout: string;
  stderr: string;
};

const TIMEOUT_MS = 60_000;
const MAX_OUTPUT_BYTES = 8 * 1024 * 1024;

/** PATH, locale and zone only: programs behave the same whoever started the worker, and no secret of ours leaks into them. */
export function minimalEnvironment(): Record<string, string> {
  const keep = ['PATH', 'HOME', 'LD_LIBRARY_PATH', 'TMPDIR'] as const;
  const kept = keep.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]] as const]));
  return { ...Object.fromEntries(kept), LC_ALL: 'C', TZ: 'UTC' };
}

/**
 * Runs a program to its end and returns what happened, never throws for an exit code: the caller knows what it means.
 * A program that cannot be started at all throws CommandFailed. `cwd` is `/`, because another user may not enter ours.
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  const result = await execa(program, args, {
    reject: false,
    extendEnv: false,
    env: { ...minimalEnvironment(), ...options.env },
    cwd: options.cwd ?? '/',
    timeout: options.timeoutMs ?? TIMEOUT_MS,
    forceKillAfterDelay: 2_000,
    maxBuffer: MAX_OUTPUT_BYTES,
    stdin: options.input === undefined ? 'ignore' : 'pipe',
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.runAs ?? {}),
  });
  if (result.exitCode === undefined && result.signal === undefined && !result.timedOut) {
    throw stepFailure('CommandFailed', `cannot start ${program}: ${result.shortMessage ?? 'unknown reason'}`, {
      hint: 'check the path (binDir or the command in the config) and that the worker may run it',
    });
  }
  return { ...outcomeOf(result), command: [program, ...args].join(' ') };
}

type Outcome = { exitCode?: number; signal?: NodeJS.Signals; timedOut: boolean; stdout: string; stderr: string };

function outcomeOf(result: Outcome): Omit<ProgramResult, 'command'> {
  const { exitCode = null, signal = null, timedOut, stdout, stderr } = result;
  return { exitCode, signal, timedOut, stdout, stderr };
}

/** Output of a program that must exit 0; throws CommandFailed with the command, how it ended and the last lines of its stderr. */
export async function runProgramOrFail(
  program: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<string> {
  const result = await runProgram(program, args, options);
  if (result.exitCode === 0) return result.stdout;
  throw stepFailure('CommandFailed', describeFailure(result));
}

/** One line for people: command, how it ended, last lines of stderr (or stdout). */
export function describeFailure(result: ProgramResult): string {
  const ended = result.timedOut
    ? 'did not end in time'
    : result.signal === null
      ? `exit code ${String(result.exitCode)}`
      : `killed by ${result.signal}`;
  const output = (result.stderr.trim() === '' ? result.stdout : result.stderr).trim().split('\n').slice(-5).join(' | ');
  return `${result.command}: ${ended}${output === '' ? '' : `: ${output}`}`;
}
