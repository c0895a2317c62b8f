/** What a person can do with a restored dump that is kept in its sandbox. Pure. */
import type { DumpPlan } from './contracts/dump.js';

/** Look, copy out, hand it over with another run, or promote it. `url` is that of the sandbox, `run` the one that restored it. */
export function keptCommands({ environment, source, database }: DumpPlan, url: string, run: string): string[] {
  const from = source.kind === 'file' ? source.path : source.url;
  return [
    `psql ${shellWord(url)}`,
    `pg_dump --format=custom --file=${shellWord(`${database}.dump`)} ${shellWord(url)}`,
    `pg_dump --data-only --table=SCHEMA.TABLE ${shellWord(url)} | psql PRODUCTION-URL`,
    `pgr restore-dump ${environment} --from ${shellWord(from)} --hand-over`,
    `pgr promote ${environment} --from ${shellWord(run)}`,
  ];
}

/** One word for a shell. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
