/** Numbers and tables of a benchmark. Pure. */

/** The middle one; of an even number the mean of the two. NaN of none. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = (index: number): number => sorted[index] ?? Number.NaN;
  return (at(Math.floor((sorted.length - 1) / 2)) + at(Math.floor(sorted.length / 2))) / 2;
}

/** `255 (191 to 283)`; `-` of none. */
export function medianWithRange(numbers: readonly number[], digits = 0): string {
  if (numbers.length === 0) return '-';
  const text = (value: number): string => value.toFixed(digits);
  return `${text(median(numbers))} (${text(Math.min(...numbers))} to ${text(Math.max(...numbers))})`;
}

/** Columns side by side, the first to the left and the others to the right. */
export function tableText(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('  ');
  return rows.map(line).join('\n');
}

/** `goal: 0.45 of 0.50, reached`; nothing is said of what was not measured. */
export function goalText(what: string, value: number, limit: number, unit = ''): string[] {
  if (Number.isNaN(value)) return [];
  const digits = limit === 0 || limit >= 10 ? 0 : limit < 0.1 ? 3 : 2;
  const verdict = value <= limit ? 'reached' : 'MISSED';
  return [`${what}: ${value.toFixed(digits)}${unit} (goal ${limit.toFixed(digits)}${unit}, ${verdict})`];
}
