/** Which addresses a developer's server may have. Pure. */
import type { EnvironmentConfig } from '../../../config/schema.js';
import { stepFailure } from '../../lib/failure.js';
import { SERVER_DATABASES } from './names.js';

export type TargetAddress = { host: string; port: number; user: string; database: string };

/** What else a URL may say; everything else (service, hostaddr, several hosts …) could lead somewhere else than its host says. */
const PARAMETERS = new Set(['application_name', 'connect_timeout']);
const DEFAULT_PORT = 5_432;

/** Throws BadUsage for what is no plain URL of one server, with a password in it, or of a database that belongs to the server. */
export function targetOf(text: string): TargetAddress {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol)) throw badUrl('it is not a postgresql:// URL');
  const problem = problemOf(url);
  if (problem !== null) throw badUrl(problem);
  const decoded = (part: string, otherwise: string): string => (part === '' ? otherwise : decodeURIComponent(part));
  return {
    host: decoded(url.hostname.replace(/^\[|\]$/g, ''), '127.0.0.1'),
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    user: decoded(url.username, 'postgres'),
    database: databaseOf(url),
  };
}

function databaseOf(url: URL): string {
  return decodeURIComponent(url.pathname.slice(1));
}

function problemOf(url: URL): string | null {
  if (url.password !== '') return 'it carries a password: name it with --password env:NAME';
  const other = [...url.searchParams.keys()].find((name) => !PARAMETERS.has(name));
  if (other !== undefined) return `it says ${other}, which is not taken here`;
  if (url.host.includes(',')) return 'it names several servers';
  const database = databaseOf(url);
  if (database === '' || database.includes('/')) return 'it names no database';
  return SERVER_DATABASES.includes(database) ? `database ${database} belongs to the server` : null;
}

function badUrl(why: string): Error {
  return stepFailure('BadUsage', `the URL of the target cannot be used: ${why}`, {
    hint: 'write postgresql://USER@127.0.0.1:PORT/DATABASE',
  });
}

/** True for this machine. A name other than localhost could be anything. */
export function isLoopback(host: string): boolean {
  return /^127(\.\d{1,3}){3}$/.test(host) || host === '::1' || host === 'localhost' || host.startsWith('/');
}

/** Throws IdentityMismatch for an address that is neither this machine nor a host that the config names, or that an environment has. */
export function requireDevAddress(
  { host, port }: Pick<TargetAddress, 'host' | 'port'>,
  hosts: readonly string[],
  environments: Readonly<Record<string, EnvironmentConfig>>,
): void {
  if (!isLoopback(host) && !hosts.includes(host)) {
    throw stepFailure('IdentityMismatch', `${host} is neither this machine nor one of dev.hosts in the config`, {
      hint: "nothing was touched; a developer's database is refreshed on the machine of the developer",
    });
  }
  const same = (a: string, b: string): boolean => a === b || (isLoopback(a) && isLoopback(b));
  for (const [name, { nodes, routing }] of Object.entries(environments)) {
    const routed = routedAddresses(routing.url);
    const node = nodes.find((one) => same(one.address, host) && one.port === port);
    const isRouted = routed.some((one) => same(one.host, host) && one.port === port);
    if (node === undefined && !isRouted) continue;
    const what = node === undefined ? 'the write address' : `node ${node.name}`;
    throw stepFailure('IdentityMismatch', `${host}:${String(port)} is ${what} of environment ${name}`, {
      hint: 'nothing was touched; name the server of a developer with --into',
    });
  }
}

/** Hosts and ports of a libpq URL, which may name several. */
export function routedAddresses(url: string): { host: string; port: number }[] {
  const authority = /^[a-z]+:\/\/(?:[^@/?]*@)?([^/?]*)/.exec(url)?.[1] ?? '';
  return authority.split(',').map((one) => {
    const found = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(one);
    return { host: (found?.[1] ?? '').replace(/^\[|\]$/g, ''), port: Number(found?.[2] ?? DEFAULT_PORT) };
  });
}
