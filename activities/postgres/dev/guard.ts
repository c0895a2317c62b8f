/** Proves that a server is a developer's: before anything is planned for it. Unknown is never taken for good. */
import type pg from 'pg';

import type { DevTarget } from '../../../shared/contracts/dev.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { withClient } from '../../lib/database.js';
import { devOf } from '../../lib/environment-config.js';
import { stepFailure } from '../../lib/failure.js';
import { readIdentities, type Identities } from './identities.js';
import { readState, type DevState } from './state.js';
import { requireDevAddress } from './target-address.js';

export type TargetFacts = {
  systemIdentifier: string;
  /** The database in use, null when there is none. */
  database: { bytes: number; state: DevState | null } | null;
  warnings: string[];
};

type Guarded = Pick<DevTarget, 'host' | 'port' | 'user' | 'database'> & { password: string | null };

/**
 * Looks at the server of a target. `own` is the system identifier of a server that pgr made here, which needs no further proof.
 * Throws IdentityMismatch for a server of an environment or a standby, PreconditionFailed when nobody can say that it is none, NotAllowed without rights.
 */
export async function guardTarget(
  deps: Pick<ActivityDeps, 'config' | 'resolveSecret'>,
  environment: string,
  target: Guarded,
  own: string | null,
): Promise<TargetFacts> {
  requireDevAddress(target, devOf(deps.config, environment).hosts, deps.config.environments);
  const identities = await readIdentities(deps);
  const { host, port, user, password, database } = target;
  const address = { host, port, user, password };
  const facts = await withClient({ ...address, database: 'postgres' }, (client) => readServer(client, database));
  const { id } = facts;
  refuse(identities, id, `${host}:${String(port)}`, own);
  if (facts.standby) {
    throw stepFailure('IdentityMismatch', `${host}:${String(port)} is a standby of another server`, {
      hint: "nothing was touched; a developer's server is nobody's standby",
    });
  }
  if (!facts.creates) {
    throw stepFailure('NotAllowed', `${user} may not create databases at ${host}:${String(port)}`, {
      hint: `as a superuser there: alter role ${user} createdb`,
    });
  }
  const state = facts.bytes === null ? null : await withClient({ ...address, database }, readState);
  return {
    systemIdentifier: id,
    database: facts.bytes === null ? null : { bytes: facts.bytes, state },
    warnings: facts.superuser
      ? []
      : [`${user} is no superuser: settings of the server stay as they are, what needs rights is left out`],
  };
}

function refuse({ known, unknown }: Identities, id: string, where: string, own: string | null): void {
  const environment = known.get(id);
  if (environment !== undefined) {
    throw stepFailure(
      'IdentityMismatch',
      `the server at ${where} is one of environment ${environment} (system identifier ${id})`,
      {
        hint: 'nothing was touched; a tunnel or a proxy may lead there: name the server of a developer with --into',
      },
    );
  }
  if (own === id || unknown.length === 0) return;
  throw stepFailure(
    'PreconditionFailed',
    `nobody can say that ${where} is not a server of ${unknown.join(', ')}: no node of it answers, and no system identifier of it is known`,
    {
      hint: 'write the number that pg_controldata prints for it into dev.neverInto of that environment (in quotes), or let pgr make the server: dev.target kind process or docker',
    },
  );
}

type ServerFacts = { id: string; standby: boolean; superuser: boolean; creates: boolean; bytes: number | null };

async function readServer(client: pg.Client, database: string): Promise<ServerFacts> {
  const { rows } = await client.query<ServerFacts>(
    `select (select system_identifier::text from pg_control_system()) as id, pg_is_in_recovery() as standby, r.rolsuper as superuser,
       r.rolsuper or r.rolcreatedb as creates, (select pg_database_size(oid)::float8 from pg_database where datname = $1) as bytes
     from pg_roles r where r.rolname = current_user`,
    [database],
  );
  const [found] = rows;
  if (found === undefined) throw stepFailure('PreconditionFailed', 'the server does not say who it is');
  return found;
}
