/** The live view: the same lines redrawn in place, no more of them than the run has steps, and nothing that blinks. */
import type { CliContext } from '../context.js';
import type { RunFamily } from '../runs.js';
import { actionable } from '../runs.js';
import { attentionBlock, evidenceLines, stepLines, type RunRendering } from './run.js';
import { createStyle } from './style.js';
import { formatDuration, oneLine, secondsBetweenIso, truncate } from './text.js';

const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';
const CLEAR_BELOW = '\u001b[J';

export type LiveView = { draw(family: RunFamily | null, trouble: string | null, run: string): void; end(): void };

/** Draws on standard error, so that standard output stays the result. */
export function createLiveView(context: CliContext): LiveView {
  let drawn = 0;
  let last: RunFamily | null = null;
  return {
    draw(family, trouble, run) {
      last = family ?? last;
      const all = last === null ? [run] : liveLines(last, renderingOf(context, null));
      const lines = fitRows(all, context.io.rows);
      if (trouble !== null) lines.push(`${oneLine(trouble)}; waiting for it`);
      const up = drawn === 0 ? HIDE_CURSOR : `\u001b[${String(drawn)}F`;
      context.io.err(`${up}${CLEAR_BELOW}${lines.join('\n')}\n`);
      drawn = rowsOf(lines, context.io.columns);
    },
    end() {
      if (drawn > 0) context.io.err(`\u001b[${String(drawn)}F${CLEAR_BELOW}${SHOW_CURSOR}`);
      drawn = 0;
    },
  };
}

/** What is above the top of the screen cannot be redrawn: the head and the newest lines stay. */
export function fitRows(lines: readonly string[], rows: number | undefined): string[] {
  const room = rows === undefined ? lines.length : Math.max(4, rows - 2);
  return lines.length <= room ? [...lines] : [...lines.slice(0, 1), ...lines.slice(lines.length - room + 1)];
}

function renderingOf(context: CliContext, ui: string | null): RunRendering {
  return { style: createStyle(context.io, context.env), now: context.now(), columns: context.io.columns, ui };
}

/** The view as lines, each no wider than the terminal except those that are there to be copied. */
function liveLines(family: RunFamily, options: RunRendering): string[] {
  const { view, child } = family;
  const { style, now, columns } = options;
  const target = view.plan?.target?.value ?? '';
  const seconds = secondsBetweenIso(view.startedAt, view.endedAt ?? now.toISOString()) ?? 0;
  const head = `${view.run}  ${view.status}  ${formatDuration(seconds)}${target === '' ? '' : `  to ${target}`}`;
  const waiting = actionable(family);
  return [
    style.bold(truncate(oneLine(head), columns - 1)),
    ...stepLines(view, options),
    ...(child === null
      ? []
      : [`   ${style.dim(child.run)}`, ...indent(stepLines(child, { ...options, columns: columns - 3 }))]),
    ...(waiting.status === 'waiting-approval' ? ['', ...evidenceLines(waiting.gate?.evidence ?? [], options)] : []),
    ...attentionBlock(waiting, options)
      .split('\n')
      .filter((line) => line !== '')
      .flatMap((line, index) => (index === 0 ? ['', line] : [line])),
  ];
}

function indent(lines: readonly string[]): string[] {
  return lines.map((line) => `   ${line}`);
}

/** Rows that the lines take on the screen: one that is longer than the terminal wraps. */
export function rowsOf(lines: readonly string[], columns: number): number {
  // eslint's no-control-regex would want the escape spelt out; it is built from its code point instead.
  const sgr = new RegExp(`${String.fromCodePoint(0x1b)}\\[[0-9;]*m`, 'g');
  return lines
    .map((line) => Math.max(1, Math.ceil(Array.from(line.replace(sgr, '')).length / columns)))
    .reduce((sum, rows) => sum + rows, 0);
}
