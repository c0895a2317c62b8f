/** libpq URLs with several hosts (PostgreSQL docs, "Connection URIs"); the driver has no multi-host support of its own. Pure. */
import { stepFailure } from './failure.js';

export type MultihostUrl = {
  hosts: { host: string; port: number }[];
  user: string | null;
  database: string | null;
  /** Only `read-write` (also spelled `primary`) is a write address. */
  targetSessionAttrs: string;
};

const DEFAULT_PORT = 5432;
const URL_PATTERN = /^postgres(?:ql)?:\/\/(?:([^@/?]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/;

/** Parses `postgresql://user@h1:p1,h2:p2/db?target_session_attrs=read-write`. Throws ConfigInvalid; never repeats a password. */
export function parseMultihostUrl(url: string): MultihostUrl {
  const match = URL_PATTERN.exec(url);
  if (match === null) throw stepFailure('ConfigInvalid', 'routing.url is not a postgresql:// URL');
  const [, login = '', authority = '', database = '', query = ''] = match;
  const parameters = new URLSearchParams(query);
  const user = login === '' ? parameters.get('user') : decodeURIComponent(login.split(':')[0] ?? '');
  return {
    hosts: authority.split(',').map((entry) => parseHost(entry, parameters.get('port'))),
    user: user === '' ? null : user,
    database: database === '' ? parameters.get('dbname') : decodeURIComponent(database),
    targetSessionAttrs: parameters.get('target_session_attrs') ?? 'any',
  };
}

function parseHost(entry: string, defaultPort: string | null): { host: string; port: number } {
  // An IPv6 address stands in brackets.
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(entry);
  if (match === null) throw stepFailure('ConfigInvalid', `routing.url has "${entry}" where a host should be`);
  const host = decodeURIComponent(match[1] ?? match[2] ?? '');
  const port = Number(match[3] ?? defaultPort ?? DEFAULT_PORT);
  if (port >= 1 && port <= 65_535) return { host: host === '' ? 'localhost' : host, port };
  throw stepFailure('ConfigInvalid', `routing.url has port ${String(port)}`);
}
