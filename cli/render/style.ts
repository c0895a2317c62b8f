/** Marks and colours of the terminal. Colour only underlines what the words say already; without it nothing is lost. */
import type { CliIo } from '../context.js';
import type { StepStatus } from '../../shared/contracts/status.js';

export type Style = {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  warn(text: string): string;
  mark(status: StepStatus): string;
  check(ok: boolean): string;
  /** Full and empty cell of a bar. */
  bar: readonly [string, string];
  ellipsis: string;
};

const MARKS: Record<StepStatus, string> = {
  done: '✓',
  running: '▶',
  waiting: '◆',
  skipped: '–',
  failed: '✗',
  pending: '·',
};
const PLAIN_MARKS: Record<StepStatus, string> = {
  done: '+',
  running: '>',
  waiting: '?',
  skipped: '-',
  failed: 'x',
  pending: '.',
};

/** The style for a terminal: ANSI colours when `color`, box characters when the locale can show them. */
export function createStyle(io: Pick<CliIo, 'color'>, env: Readonly<Record<string, string | undefined>>): Style {
  const sgr =
    (on: number, off: number) =>
    (text: string): string =>
      io.color && text !== '' ? `\u001b[${String(on)}m${text}\u001b[${String(off)}m` : text;
  const unicode = /utf-?8/i.test(env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || 'C.UTF-8');
  const [good, bad, warn, dim] = [sgr(32, 39), sgr(31, 39), sgr(33, 39), sgr(2, 22)];
  const paint: Record<StepStatus, (text: string) => string> = {
    done: good,
    running: sgr(36, 39),
    waiting: warn,
    skipped: dim,
    failed: bad,
    pending: dim,
  };
  return {
    bold: sgr(1, 22),
    dim,
    good,
    bad,
    warn,
    mark: (status) => paint[status]((unicode ? MARKS : PLAIN_MARKS)[status]),
    check: (ok) => (ok ? good(unicode ? '✓' : 'ok') : bad(unicode ? '✗' : 'NOT OK')),
    bar: unicode ? ['█', '░'] : ['#', '.'],
    ellipsis: unicode ? '…' : '...',
  };
}
