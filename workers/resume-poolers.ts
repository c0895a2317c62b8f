/** Program `resume-poolers`: resumes the poolers of a pause whose worker gives no sign of life. Its spec comes on standard input. */
import { text } from 'node:stream/consumers';

import { guardPoolers, type GuardSpec } from '../activities/pooler/guard-program.js';

async function main(): Promise<number> {
  const spec = JSON.parse(await text(process.stdin)) as GuardSpec;
  const { failed } = await guardPoolers(spec);
  for (const why of failed) process.stderr.write(`error: not resumed: ${why}\n`);
  return failed.length === 0 ? 0 : 1;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(2);
  },
);
