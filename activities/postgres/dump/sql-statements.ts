/** What single lines of a dump say: pg_dump writes these statements on one line each. Pure. */

const IDENTIFIER = String.raw`(?:"(?:[^"]|"")+"|[^\s;,"()]+)`;
const list = String.raw`${IDENTIFIER}(?:, ${IDENTIFIER})*`;

const COPY = new RegExp(String.raw`^COPY (${IDENTIFIER}(?:\.${IDENTIFIER})?) (?:\(.*\) )?FROM stdin;$`);
const QUALIFIED = /^COPY ((?:"(?:[^"]|"")+"|[^\s.;,"()]+)(?:\.(?:"(?:[^"]|"")+"|[^\s.;,"()]+))?) /;

/** Table of a line that begins the rows of a table, as pg_dump writes it; null for any other line. */
export function copiedTable(line: string): string | null {
  if (!COPY.test(line)) return null;
  return QUALIFIED.exec(line)?.[1] ?? null;
}

const ROLE_LINES: readonly RegExp[] = [
  new RegExp(String.raw`^ALTER .* OWNER TO (${IDENTIFIER});$`),
  new RegExp(String.raw`^GRANT .* TO (${list})(?: WITH [A-Z ,]+)?(?: GRANTED BY ${IDENTIFIER})?;$`),
  new RegExp(String.raw`^REVOKE .* FROM (${list})(?: GRANTED BY ${IDENTIFIER})?;$`),
  new RegExp(String.raw`^ALTER DEFAULT PRIVILEGES FOR ROLE (${IDENTIFIER}) `),
  new RegExp(String.raw`^ALTER DEFAULT PRIVILEGES .* TO (${list})(?: WITH GRANT OPTION)?;$`),
  new RegExp(String.raw`^SET SESSION AUTHORIZATION (${IDENTIFIER}|'(?:[^']|'')+');$`),
  new RegExp(String.raw`^CREATE POLICY .*? TO (${list})(?: (?:USING|WITH CHECK) |;$)`),
  new RegExp(String.raw`^CREATE USER MAPPING FOR (${IDENTIFIER}) `),
];
const NOT_ROLES = new Set(['PUBLIC', 'CURRENT_USER', 'SESSION_USER', 'CURRENT_ROLE', 'DEFAULT', 'public']);

/** Roles that a line needs to exist. */
export function rolesNeeded(line: string): string[] {
  if (!/^(ALTER|GRANT|REVOKE|SET SESSION|CREATE POLICY|CREATE USER)/.test(line)) return [];
  return ROLE_LINES.flatMap((pattern) => namesIn(pattern.exec(line)?.[1] ?? ''));
}

/** The role that a line makes, null for any other line. */
export function roleMade(line: string): string | null {
  const found = new RegExp(String.raw`^CREATE (?:ROLE|USER) (${IDENTIFIER})[ ;]`).exec(line);
  return found?.[1] === undefined ? null : unquoted(found[1]);
}

/** The extension that a line makes, null for any other line. */
export function extensionMade(line: string): string | null {
  const found = new RegExp(String.raw`^CREATE EXTENSION (?:IF NOT EXISTS )?(${IDENTIFIER})[ ;]`).exec(line);
  return found?.[1] === undefined ? null : unquoted(found[1]);
}

/**
 * A statement about the database itself, with `{database}` for its name: owner, settings, grants. Null for any other line, and for what the new
 * database has of its own.
 */
export function databaseStatement(line: string): string | null {
  const altered = new RegExp(String.raw`^ALTER DATABASE ${IDENTIFIER} ((?:SET|OWNER TO) .+);$`).exec(line);
  if (altered?.[1] !== undefined) return `ALTER DATABASE {database} ${altered[1]}`;
  const granted = new RegExp(String.raw`^((?:GRANT|REVOKE) .+ ON DATABASE) ${IDENTIFIER} ((?:TO|FROM) .+);$`).exec(
    line,
  );
  return granted === null ? null : `${granted[1] ?? ''} {database} ${granted[2] ?? ''}`;
}

/** Database to which psql goes; null for any other line. */
export function connectedDatabase(line: string): string | null {
  const found = /^\\connect (?:-reuse-previous=on )?(.+)$/.exec(line);
  if (found?.[1] === undefined) return null;
  const name = found[1].trim();
  const named = /^"dbname='(.+)'"$/.exec(name);
  return named?.[1] ?? unquoted(name);
}

function namesIn(names: string): string[] {
  const found = names.match(new RegExp(String.raw`'(?:[^']|'')+'|${IDENTIFIER}`, 'g')) ?? [];
  return found.filter((name) => !NOT_ROLES.has(name)).map(unquoted);
}

function unquoted(name: string): string {
  if (name.startsWith('"')) return name.slice(1, -1).replaceAll('""', '"');
  if (name.startsWith("'")) return name.slice(1, -1).replaceAll("''", "'");
  return name;
}
