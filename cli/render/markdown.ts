/** Markdown that people also read as it is: only what would change how the rest is read is escaped. */
import { oneLine, shorten } from '../../shared/markdown.js';

const MAX_TEXT = 600;

/** Text from outside on one line: no HTML, no links of its own, no formatting, no table cells. */
export function plainText(text: string): string {
  return shorten(oneLine(text), MAX_TEXT)
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/[\\`*[\]|~$]/g, (mark) => `\\${mark}`)
    .replace(/(^|[^\p{L}\p{N}])_|_(?=[^\p{L}\p{N}]|$)/gu, (match) => match.replace('_', '\\_'))
    .replace(/^([#+-]|\d+\.)/, '\\$1');
}

/** A table; cells are escaped. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map((row) => line(row.map(plainText)))].join('\n');
}
