/** Whom a standby follows. Pure. */

/** Value of one keyword of a libpq keyword string, null when it is not there. */
export function conninfoValue(conninfo: string, key: string): string | null {
  const match = new RegExp(`(?:^| )${key}\\s*=\\s*(?:'((?:[^'\\\\]|\\\\.)*)'|(\\S*))`).exec(conninfo);
  const [, quoted = null, plain = null] = match ?? [];
  return quoted ?? plain;
}

/** `host:port` of a libpq keyword string, null when it names no host. */
export function upstreamOf(conninfo: string): string | null {
  const host = conninfoValue(conninfo, 'host') ?? conninfoValue(conninfo, 'hostaddr');
  return host === null || host === '' ? null : `${host}:${conninfoValue(conninfo, 'port') ?? '5432'}`;
}
