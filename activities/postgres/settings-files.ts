/**
 * Configuration files of a cluster as text (PostgreSQL docs, "Setting Parameters"). Pure. Parameter names are case-insensitive, the `=` is
 * optional, values may be quoted, a `#` outside quotes starts a comment.
 */

export type Setting = { name: string; value: string; line: number };

const ASSIGNMENT = /^\s*([A-Za-z_][A-Za-z0-9_.]*)\s*(?:=\s*|\s+)('(?:[^'\\]|''|\\.)*'|[^\s#']\S*|)\s*(?:#.*)?$/;

/** Settings and include directives of one file in order; blank lines, comments and lines that are neither are left out. */
export function parseSettings(text: string): Setting[] {
  return text.split('\n').flatMap((line, index) => {
    const match = ASSIGNMENT.exec(line);
    if (match?.[1] === undefined || match[2] === undefined) return [];
    return [{ name: match[1].toLowerCase(), value: unquote(match[2]), line: index }];
  });
}

/** The value that counts: the last one of a name in a file wins. Null when the file does not set it. */
export function lastValue(text: string, name: string): string | null {
  return parseSettings(text).findLast((setting) => setting.name === name.toLowerCase())?.value ?? null;
}

/** A value as it is written in a configuration file. */
export function quoteValue(value: string): string {
  return `'${value.replace(/\\/g, '\\\\').replace(/'/g, "''")}'`;
}

function unquote(text: string): string {
  if (!text.startsWith("'")) return text;
  return text.slice(1, -1).replace(/''|\\(.)/g, (whole, escaped: string | undefined) => {
    if (whole === "''") return "'";
    return { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f' }[escaped ?? ''] ?? escaped ?? '';
  });
}

export type Stripped = { text: string; removed: string[] };

/** Takes the settings of these names out; every other line stays as it is, comments included. */
export function stripSettings(text: string, isUnwanted: (name: string) => boolean): Stripped {
  const unwanted = parseSettings(text).filter((setting) => isUnwanted(setting.name));
  const lines = new Set(unwanted.map((setting) => setting.line));
  return {
    text: text
      .split('\n')
      .filter((_, index) => !lines.has(index))
      .join('\n'),
    removed: [...new Set(unwanted.map((setting) => setting.name))],
  };
}

/**
 * What must not survive into a production primary: where recovery stops and where it reads from, and whom the server follows. A target
 * left behind turns the next crash into a point-in-time recovery.
 */
export function isRecoverySetting(name: string): boolean {
  return (
    /^recovery_target/.test(name) ||
    [
      'restore_command',
      'archive_cleanup_command',
      'recovery_end_command',
      'recovery_min_apply_delay',
      'primary_conninfo',
      'primary_slot_name',
      'promote_trigger_file',
    ].includes(name)
  );
}

/** Relative files and directories that a configuration file includes; absolute ones live outside the data directory and stay there. */
export function includedPaths(text: string): { files: string[]; directories: string[] } {
  const settings = parseSettings(text).filter((setting) => !setting.value.startsWith('/'));
  return {
    files: settings.filter(({ name }) => name === 'include' || name === 'include_if_exists').map(({ value }) => value),
    directories: settings.filter(({ name }) => name === 'include_dir').map(({ value }) => value),
  };
}

/** Sets parameters at the end of a file, where they win over earlier lines of it; earlier lines of the same names are removed. */
export function withSettings(text: string, settings: Readonly<Record<string, string>>): string {
  const rest = stripSettings(text, (name) => Object.hasOwn(settings, name)).text.replace(/\n*$/, '\n');
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${quoteValue(value)}\n`);
  return `${rest === '\n' ? '' : rest}${lines.join('')}`;
}
