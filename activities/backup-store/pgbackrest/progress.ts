/** What pgBackRest prints while it copies. Pure. */

const FILE_LINE = /DETAIL: (?:restore|backup) file .*\((?:[^()]*, )?(\d+(?:\.\d+)?)%\)/;

/** The part of all bytes that is done, 0 to 1, of a line about a file; null for other lines. */
export function partDone(line: string): number | null {
  const percent = FILE_LINE.exec(line)?.[1];
  return percent === undefined ? null : Math.min(Number(percent), 100) / 100;
}
