/** Reads recovery.yaml. Everything that is wrong with it is reported at once, each with its full path. */
import { readFile } from 'node:fs/promises';
import { parseDocument } from 'yaml';

import { errorCodeOf } from '../shared/error-code.js';
import { PgrFailure, type Problem } from '../shared/pgr-failure.js';
import { describeIssues } from './problems.js';
import { checkConfig } from './rules.js';
import { configSchema, type Config } from './schema.js';

export { findConfig } from './find.js';

/** The validated config of a file. Throws ConfigInvalid (all problems in `problems`) or NotFound. */
export async function loadConfig(file: string): Promise<Config> {
  return parseConfig(await readText(file), file);
}

/** The validated config of YAML `text`; `source` names it in the message. Throws ConfigInvalid. */
export function parseConfig(text: string, source: string): Config {
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: true });
  const syntax = [...document.errors, ...document.warnings];
  if (syntax.length > 0) {
    throw invalid(
      source,
      syntax.map((error) => ({
        path: `line ${String(error.linePos?.[0].line ?? 1)}`,
        problem: (error.message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, ''),
      })),
    );
  }
  // An alias bomb is refused by maxAliasCount.
  const raw: unknown = document.toJS({ maxAliasCount: 100 });
  const parsed = configSchema.safeParse(raw);
  if (!parsed.success) throw invalid(source, describeIssues(parsed.error.issues, raw));
  const problems = checkConfig(parsed.data);
  if (problems.length > 0) throw invalid(source, problems);
  return parsed.data;
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const code = errorCodeOf(cause) ?? 'unknown';
    throw new PgrFailure(code === 'ENOENT' ? 'NotFound' : 'ConfigInvalid', `cannot read the config ${file} (${code})`, {
      hint: 'check the path and its permissions',
      cause,
    });
  }
}

function invalid(source: string, problems: Problem[]): PgrFailure {
  const count = problems.length === 1 ? 'a problem' : `${String(problems.length)} problems`;
  const lines = problems.map(({ path, problem }) => `  ${path}: ${problem}`);
  return new PgrFailure('ConfigInvalid', `${source} has ${count}:\n${lines.join('\n')}`, {
    hint: 'mend the file; recovery.example.yaml shows every key',
    next: [`pgr config check --config ${source}`],
    problems,
  });
}
