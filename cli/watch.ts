/**
 * Waiting for a run: the live view, and `--wait`. Looking never changes the run: Ctrl-C only detaches, and a Temporal server or
 * worker that is away for a while is waited for, because the run waits for it too.
 */
import { FAILURES, isFailureType } from '../shared/failures.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import { hasEnded } from '../shared/run-state.js';
import type { CliContext } from './context.js';
import { createProgressMeter } from './progress.js';
import { createLiveView } from './render/live.js';
import { changeLines } from './render/changes.js';
import { renderRun } from './render/run.js';
import { createStyle } from './render/style.js';
import { shellWord } from './render/text.js';
import { actionable, readFamily, type ResolvedRun, type RunFamily } from './runs.js';

/** A second is calm for people and cheap for the server. */
const POLL_MS = 1_000;
/** `--wait` is for scripts: a shorter pause, because short steps should not cost a whole second each. */
const WAIT_POLL_MS = 500;

export const EXIT = {
  ok: 0,
  failed: 1,
  waitingApproval: 7,
  stillRunning: 8,
  needsAttention: 9,
  interrupted: 130,
} as const;

export type WaitOptions = {
  /** Ends the wait at a gate or when the run needs attention. */
  stopForPerson: boolean;
  /** Seconds, null for no limit. */
  timeoutSeconds: number | null;
  live: boolean;
};

export type WaitResult = { family: RunFamily | null; exitCode: number };

/** Looks until the run ends (or whatever `options` say), showing changes on the way. */
export async function waitForRun(
  context: CliContext,
  resolved: ResolvedRun,
  options: WaitOptions,
): Promise<WaitResult> {
  const show = options.live ? liveShow(context, resolved) : lineShow(context);
  const meter = createProgressMeter();
  const startedAt = context.now().getTime();
  let family: RunFamily | null = null;
  for (;;) {
    const look = await lookOnce(() => readFamily(context, resolved, meter));
    family = look.family ?? family;
    show.update(look.family, look.trouble);
    const exitCode = look.family === null ? null : exitCodeOf(look.family, options);
    if (exitCode !== null) return { family, exitCode: finish(show, exitCode) };
    if (context.interrupted.aborted) return { family, exitCode: finish(show, EXIT.interrupted) };
    const waited = (context.now().getTime() - startedAt) / 1000;
    if (options.timeoutSeconds !== null && waited >= options.timeoutSeconds)
      return { family, exitCode: finish(show, EXIT.stillRunning) };
    await context.sleep(options.live ? POLL_MS : WAIT_POLL_MS);
  }
}

type Show = { update(family: RunFamily | null, trouble: string | null): void; end(): void };

function finish(show: Show, exitCode: number): number {
  show.end();
  return exitCode;
}

/** What passes by itself is shown and waited for; everything else ends the wait. */
async function lookOnce(read: () => Promise<RunFamily>): Promise<{ family: RunFamily | null; trouble: string | null }> {
  try {
    return { family: await read(), trouble: null };
  } catch (error) {
    const passes =
      error instanceof PgrFailure && (error.code === 'TemporalUnavailable' || error.code === 'HostUnreachable');
    if (!passes) throw error;
    return { family: null, trouble: error.message };
  }
}

/** Exit code when the wait is over, null while it goes on. */
function exitCodeOf(family: RunFamily, options: Pick<WaitOptions, 'stopForPerson'>): number | null {
  const { view } = family;
  if (hasEnded(view.status)) return endCodeOf(family);
  if (!options.stopForPerson) return null;
  const { status } = actionable(family);
  if (status === 'waiting-approval') return EXIT.waitingApproval;
  return status === 'needs-attention' ? EXIT.needsAttention : null;
}

/** 0 for a run that ended well; a run that a check refused has the exit code of that refusal, any other end is 1. */
function endCodeOf({ view }: RunFamily): number {
  if (view.status === 'completed') return EXIT.ok;
  const code = view.status === 'failed' ? view.failure?.code : undefined;
  if (!isFailureType(code)) return EXIT.failed;
  const { exitCode } = FAILURES[code];
  return exitCode >= 2 && exitCode <= 5 ? exitCode : EXIT.failed;
}

function liveShow(context: CliContext, resolved: ResolvedRun): Show {
  if (!context.io.isTty) return lineShow(context);
  const live = createLiveView(context);
  return {
    update: (family, trouble) => {
      live.draw(family, trouble, resolved.run);
    },
    end: () => {
      live.end();
    },
  };
}

/** One line per change on standard error, so that standard output stays the result. */
function lineShow(context: CliContext): Show {
  let before: RunFamily | null = null;
  let said: string | null = null;
  return {
    update: (family, trouble) => {
      if (trouble !== null && trouble !== said) context.io.err(`${trouble}; waiting for it\n`);
      said = trouble;
      if (family === null) return;
      for (const line of changeLines(before, family, context.now())) context.io.err(`${line}\n`);
      before = family;
    },
    end: () => undefined,
  };
}

/** Prints how the wait ended: the run on standard output, and how to come back on standard error. */
export async function reportWait(context: CliContext, resolved: ResolvedRun, result: WaitResult): Promise<void> {
  const come = `pgr watch ${shellWord(resolved.run)}`;
  if (result.exitCode === EXIT.interrupted) context.io.err(`detached; the run goes on by itself\nnext: ${come}\n`);
  if (result.exitCode === EXIT.stillRunning) context.io.err(`still running\nnext: ${come}\n`);
  if (result.family !== null) await printFamily(context, result.family);
  context.exit(result.exitCode);
}

/** The document of `pgr show --json`, or the same for people. */
export async function printFamily(context: CliContext, family: RunFamily): Promise<void> {
  const client = await context.client();
  const target = actionable(family);
  const ui = client.uiLink(target.run, target.runId);
  context.result({ ...family.view, ui: client.uiLink(family.view.run, family.view.runId) }, () =>
    renderRun(family, {
      style: createStyle(context.io, context.env),
      now: context.now(),
      columns: context.io.columns,
      ui,
    }),
  );
}
