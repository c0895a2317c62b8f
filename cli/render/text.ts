/** Numbers and times as people read them. Pure. */

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** `612 MB`, `1.1 GB`: decimal units, three digits at most. */
export function formatBytes(bytes: number): string {
  let value = Math.abs(bytes);
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit > 0 && value < 9.95 ? 1 : 0;
  return `${bytes < 0 ? '-' : ''}${value.toFixed(digits)} ${UNITS[unit] ?? 'B'}`;
}

/** `0.3 s`, `42 s`, `3 min 5 s`, `2 h 14 min`, `3 d 4 h`. */
export function formatDuration(seconds: number): string {
  const sign = seconds < 0 ? '-' : '';
  const total = Math.abs(seconds);
  if (total < 9.95) return `${sign}${String(Number(total.toFixed(1)))} s`;
  const whole = Math.round(total);
  if (whole < 60) return `${sign}${String(whole)} s`;
  const [big, bigUnit, small, smallUnit] = splitDuration(whole);
  return `${sign}${String(big)} ${bigUnit}${small === 0 ? '' : ` ${String(small)} ${smallUnit}`}`;
}

function splitDuration(whole: number): [number, string, number, string] {
  if (whole < 3600) return [Math.floor(whole / 60), 'min', whole % 60, 's'];
  if (whole < 86_400) return [Math.floor(whole / 3600), 'h', Math.floor((whole % 3600) / 60), 'min'];
  return [Math.floor(whole / 86_400), 'd', Math.floor((whole % 86_400) / 3600), 'h'];
}

/** An ISO time in UTC to the second: `2026-11-21T03:42:00Z`. Text that is no time is returned as it is. */
export function formatTime(iso: string): string {
  const time = new Date(iso);
  return Number.isNaN(time.getTime()) ? iso : `${time.toISOString().slice(0, 19)}Z`;
}

/** `(12 min ago)` or `(in 3 h)`, seen from `now`. */
export function relativeTo(iso: string, now: Date): string {
  const seconds = (now.getTime() - new Date(iso).getTime()) / 1000;
  if (Number.isNaN(seconds)) return '';
  return seconds >= 0 ? `(${formatDuration(seconds)} ago)` : `(in ${formatDuration(-seconds)})`;
}

/** Seconds between two ISO times, null when one is missing. */
export function secondsBetweenIso(from: string | null, to: string | null): number | null {
  if (from === null || to === null) return null;
  const seconds = (new Date(to).getTime() - new Date(from).getTime()) / 1000;
  return Number.isNaN(seconds) ? null : seconds;
}

/** Columns of a terminal that `text` takes (one per code point: what we print has no wide characters of its own). */
export function widthOf(text: string): number {
  return Array.from(text).length;
}

/** Cuts to `width` characters, with an ellipsis when something was lost. */
export function truncate(text: string, width: number): string {
  const characters = Array.from(text);
  if (characters.length <= width) return text;
  return width <= 1 ? characters.slice(0, width).join('') : `${characters.slice(0, width - 1).join('')}…`;
}

/** Words on lines of at most `width` columns, the second and later ones behind `indent`; a word that is longer (a path, a command) is not cut. */
export function wrap(text: string, width: number, indent: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of oneLine(text).split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line === '' || widthOf(longer) <= width) {
      line = longer;
      continue;
    }
    lines.push(line);
    line = `${indent}${word}`;
  }
  return [...lines, line];
}

/** `45 ms`, then as {@link formatDuration}: an outage of a fraction of a second is the whole point. */
export function formatMilliseconds(milliseconds: number): string {
  return Math.abs(milliseconds) < 999.5
    ? `${String(Math.round(milliseconds))} ms`
    : formatDuration(milliseconds / 1000);
}

/** Text from outside on one line: a control character could move the cursor of the terminal or forge a line. */
export function oneLine(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(/\p{Cc}/gu, '')
    .trim();
}

/** A word for a shell: quoted only when it must be, so that printed commands can be copied. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** `1 commit`, `2 commits`. */
export function count(number: number, noun: string): string {
  return `${String(number)} ${noun}${number === 1 ? '' : 's'}`;
}
