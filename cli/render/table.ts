import { oneLine, widthOf } from './text.js';

/**
 * Columns wide enough for their longest cell, two spaces apart, no lines: it can be piped into awk. Numbers go right.
 * The last column is not padded.
 */
export function renderTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header, ...rows].map((row) => row.map(oneLine));
  const widths = header.map((_, column) => Math.max(...cells.map((row) => widthOf(row[column] ?? ''))));
  const isNumeric = header.map(
    (_, column) => rows.length > 0 && cells.slice(1).every((row) => /^[\d.,-]*( [kMGTP]?B)?$/.test(row[column] ?? '')),
  );
  const lines = cells.map((row) =>
    row
      .map((cell, column) => pad(cell, widths[column] ?? 0, isNumeric[column] === true, column === row.length - 1))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

function pad(cell: string, width: number, right: boolean, last: boolean): string {
  const missing = ' '.repeat(Math.max(0, width - widthOf(cell)));
  if (right) return `${missing}${cell}`;
  return last ? cell : `${cell}${missing}`;
}

/** `name:  value` lines with aligned values; pairs whose value is null are left out. */
export function renderPairs(pairs: readonly (readonly [string, string | null])[]): string {
  const shown = pairs.filter((pair): pair is readonly [string, string] => pair[1] !== null);
  const width = Math.max(0, ...shown.map(([name]) => name.length + 1));
  return shown.map(([name, value]) => `${`${name}:`.padEnd(width)}  ${oneLine(value)}\n`).join('');
}
