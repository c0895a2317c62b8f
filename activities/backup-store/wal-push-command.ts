/** The `archive_command` of an environment. Pure. */

export type WalPushCommand = {
  /** Node, and the single-file program. */
  node: string;
  program: string;
  configPath: string;
  environment: string;
};

/**
 * The value of `archive_command`: PostgreSQL hands it to a shell after replacing `%p` by the path of the file. Every word is quoted for the
 * shell, and percent signs are doubled for PostgreSQL.
 */
export function walPushCommand(command: WalPushCommand): string {
  const words = [command.node, command.program, '--config', command.configPath, '--environment', command.environment];
  return `${words.map(quote).join(' ')} "%p"`;
}

function quote(word: string): string {
  const doubled = word.replaceAll('%', '%%');
  return /^[A-Za-z0-9_./:@=+,-]+$/.test(doubled) ? doubled : `'${doubled.replaceAll("'", "'\\''")}'`;
}
