/**
 * Markdown for the Temporal Web UI (User Metadata), which passes raw HTML through: every text that is not ours is escaped here
 * and nowhere else.
 */

/** Longest text of one field; a stack trace in a message must not push the approve instructions out of sight. */
const MAX_TEXT = 600;

/** Untrusted text as one line of plain Markdown: no HTML, no links, no formatting, no table cells of its own. */
export function escapeMarkdown(text: string): string {
  return shorten(oneLine(text), MAX_TEXT)
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/[\\`*_{}[\]()#+!|~$^-]/g, (mark) => `\\${mark}`)
    .replace(/:(?=\/\/)/g, '&#58;')
    .replace(/^(\d+)\./, '$1\\.');
}

/** Text in a code span. A fence longer than any run of backticks inside keeps it closed; HTML is inert there. */
export function codeSpan(text: string): string {
  const plain = shorten(oneLine(text), MAX_TEXT);
  const longest = Math.max(0, ...[...plain.matchAll(/`+/g)].map((match) => match[0].length));
  const fence = '`'.repeat(longest + 1);
  const pad = plain.startsWith('`') || plain.endsWith('`') || plain === '' ? ' ' : '';
  return `${fence}${pad}${plain}${pad}${fence}`;
}

/** A block to copy from. */
export function codeBlock(language: string, text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((match) => match[0].length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}

/** A table; cells are escaped. */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    line(header),
    line(header.map(() => '---')),
    ...rows.map((row) => line(row.map((cell) => escapeMarkdown(cell)))),
  ].join('\n');
}

/** Control characters, bidirectional overrides and line breaks become spaces: none may change how the rest is read. */
export function oneLine(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+/gu, ' ')
    .replace(/ {2,}/g, ' ')
    .trim();
}

/** At most `length` characters, the cut shown. */
export function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
