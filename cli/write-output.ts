import { writeFile } from 'node:fs/promises';
import path from 'node:path';

import { errorCodeOf } from '../shared/error-code.js';
import { PgrFailure } from '../shared/pgr-failure.js';
import type { CliContext } from './context.js';

/** Prints `text`, or writes it to `--out`; a file that is there already is never overwritten. */
export async function writeOutput(
  context: CliContext,
  text: string,
  out: string | undefined,
  facts: object,
): Promise<void> {
  if (out === undefined) {
    context.io.out(text);
    return;
  }
  const file = path.resolve(context.cwd, out);
  await writeFile(file, text, { flag: 'wx', mode: 0o640 }).catch((cause: unknown) => {
    const code = errorCodeOf(cause) ?? 'unknown';
    throw new PgrFailure('BadUsage', `cannot write ${file} (${code})`, {
      hint: 'name a file that is not there yet',
      cause,
    });
  });
  context.result({ ...facts, file }, () => `${file}\n`);
}
