/** The write address of an environment as a list of servers: libpq takes several hosts in one URL, node-postgres does not. Pure. */

export type WriteTarget = { host: string; port: number };

const DEFAULT_PORT = 5432;

/** Hosts and ports of `postgresql://user@a:1,b:2/db?…` in order; one port for all, or none, as libpq allows. */
export function writeTargets(url: string): WriteTarget[] {
  const authority = /^[a-z]+:\/\/(?:[^@/?]*@)?([^/?]*)/.exec(url)?.[1] ?? '';
  return authority
    .split(',')
    .filter((part) => part !== '')
    .map((part) => {
      const match = /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(part);
      const host = (match?.[1] ?? part).replace(/^\[(.*)\]$/, '$1');
      return { host: decodeURIComponent(host), port: match?.[2] === undefined ? DEFAULT_PORT : Number(match[2]) };
    });
}
