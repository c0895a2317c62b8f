/** Where everything of a sandbox lies on its host. Pure. */
import path from 'node:path';

import type { Config, EnvironmentConfig } from '../../../config/schema.js';
import type { SandboxRef } from '../../../shared/contracts/sandbox.js';
import { binDirFor, environmentOf, sandboxRootOf } from '../../lib/environment-config.js';
import { stepFailure } from '../../lib/failure.js';

export type SandboxPlace = {
  ref: SandboxRef;
  environment: EnvironmentConfig;
  binDir: string;
  /** Directory of all sandboxes of this environment on this host. */
  root: string;
  dir: string;
  dataDir: string;
  /** Spool: complete WAL segments and history files under their plain names. */
  walDir: string;
  markerFile: string;
  serverLog: string;
  restoreScript: string;
  combineScript: string;
  fetchSpec: string;
  /** There once the mover has brought everything: what is not in the spool then will not come. */
  walComplete: string;
  planFile: string;
  countsFile: string;
  configFile: string;
  hbaFile: string;
  identFile: string;
};

/** Throws EnvironmentUnknown, or Bug for a sandbox name that would lead out of the directory of sandboxes. */
export function placeOf(config: Config, ref: SandboxRef): SandboxPlace {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/.test(ref.sandbox)) {
    throw stepFailure('Bug', `"${ref.sandbox}" is not a name of a sandbox`);
  }
  const environment = environmentOf(config, ref.environment);
  const root = sandboxRootOf(environment, ref.host);
  const dir = path.join(root, ref.sandbox);
  const inside = (name: string): string => path.join(dir, name);
  return {
    ref,
    environment,
    binDir: binDirFor(environment, ref.host),
    root,
    dir,
    dataDir: inside('data'),
    walDir: inside('wal'),
    markerFile: inside('marker.json'),
    serverLog: inside('server.log'),
    restoreScript: inside('restore-wal.sh'),
    combineScript: inside('combine.sh'),
    fetchSpec: inside('fetch.json'),
    walComplete: inside('wal-complete'),
    planFile: inside('plan.json'),
    countsFile: inside('counts.json'),
    configFile: inside('postgresql.conf'),
    hbaFile: inside('pg_hba.conf'),
    identFile: inside('pg_ident.conf'),
  };
}

/** Directory into which base number `index` (0 is the full one) is fetched. */
export function baseDirOf(place: SandboxPlace, index: number): string {
  return path.join(place.dir, `base-${String(index)}`);
}

/** Address for people; loopback only. */
export function sandboxUrl(place: SandboxPlace, port: number): string {
  const { user, database } = place.environment.postgres;
  return `postgresql://${encodeURIComponent(user)}@127.0.0.1:${String(port)}/${encodeURIComponent(database)}`;
}
