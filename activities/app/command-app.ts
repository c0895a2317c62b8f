/**
 * App provider `command`: three commands of the config. What an application is doing is read from `status` (exit 0 running, 3 stopped, as
 * `systemctl status` has it; anything else is unknown and never counts as good), not from the exit code of `stop` or `start`.
 */
import type { AppConfig } from '../../config/schema.js';
import type { AppStepResult } from '../../shared/contracts/promotion.js';
import { describeFailure, runProgram, type ProgramResult } from '../lib/exec.js';
import { maskSecrets } from '../lib/exec-secrets.js';
import { stepFailure } from '../lib/failure.js';
import { pollUntil } from '../lib/poll.js';

type AppStatus = { state: 'running' | 'stopped' | 'unknown'; said: string };

const STATUS_EVERY_MS = 200;

/** Stops the application; success when it is stopped already. Throws CommandFailed with what `stop` and `status` said. */
export async function stopCommandApp(app: AppConfig): Promise<AppStepResult> {
  return bringTo(app, 'stopped', app.stop, { done: 'stopped', already: 'already-stopped' });
}

/** Starts the application; success when it runs already. */
export async function startCommandApp(app: AppConfig): Promise<AppStepResult> {
  return bringTo(app, 'running', app.start, { done: 'started', already: 'already-started' });
}

/** What `status` says now. */
async function readAppStatus(app: AppConfig): Promise<AppStatus> {
  const result = await runCommand(app.status, app.timeout);
  const said = describe(result);
  if (result.exitCode === 0) return { state: 'running', said };
  return { state: result.exitCode === 3 ? 'stopped' : 'unknown', said };
}

async function bringTo(
  app: AppConfig,
  wanted: 'running' | 'stopped',
  command: readonly string[],
  outcomes: { done: AppStepResult['outcome']; already: AppStepResult['outcome'] },
): Promise<AppStepResult> {
  const before = await readAppStatus(app);
  if (before.state === wanted) return { outcome: outcomes.already, status: before.said };
  const result = await runCommand(command, app.timeout);
  let last: AppStatus = before;
  const reached = await pollUntil(
    async () => {
      last = await readAppStatus(app);
      return last.state === wanted ? last : null;
    },
    { timeoutMs: app.timeout * 1000, everyMs: STATUS_EVERY_MS },
  );
  if (reached !== null) return { outcome: outcomes.done, status: reached.said };
  const ended = result.exitCode === 0 ? `${command.join(' ')} exited 0` : describe(result);
  throw stepFailure('CommandFailed', `app ${app.name} is ${last.state}, not ${wanted}: ${ended}; ${last.said}`, {
    hint: `see what the application does (status: ${app.status.join(' ')}), then \`pgr retry\``,
  });
}

async function runCommand(command: readonly string[], timeoutSeconds: number): Promise<ProgramResult> {
  const [program = '', ...args] = command;
  return runProgram(program, args, { timeoutMs: timeoutSeconds * 1000 });
}

function describe(result: ProgramResult): string {
  return maskSecrets(describeFailure(result)).slice(0, 500);
}
