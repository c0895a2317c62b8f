/** Reads what `pg_restore --list` prints (C locale, zone UTC). Pure. */
export type ArchiveHeader = {
  createdAt: string | null;
  database: string | null;
  entries: number | null;
  serverVersion: string | null;
  toolVersion: string | null;
};

/** The comment lines at the start of a list. */
export function parseArchiveList(text: string): ArchiveHeader {
  const value = (label: string): string | null =>
    new RegExp(String.raw`^;\s+${label}: (.+)$`, 'm').exec(text)?.[1]?.trim() ?? null;
  const created = /^; Archive created at (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC$/m.exec(text);
  const entries = value('TOC Entries');
  return {
    createdAt: created === null ? null : `${created[1] ?? ''}T${created[2] ?? ''}Z`,
    database: value('dbname'),
    entries: entries === null ? null : Number(entries),
    serverVersion: value('Dumped from database version')?.split(' ')[0] ?? null,
    toolVersion: value('Dumped by pg_dump version')?.split(' ')[0] ?? null,
  };
}
