/** What this host must offer for the next recovery, and whether the record and the heartbeats work. */
import { access, constants, statfs } from 'node:fs/promises';
import path from 'node:path';

import type { NodeConfig } from '../../../config/schema.js';
import type { EvidenceCheck } from '../../../shared/contracts/sandbox.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { environmentOf, sandboxHostOf, sandboxRootOf } from '../../lib/environment-config.js';
import { connectNode } from '../connection.js';
import { codeOf, pathExists } from '../data-directory.js';
import { age, attempt, gigabytes, row } from './check-row.js';

/** Free space of the file system of the sandboxes against the size of the databases: a recovery needs one more copy, and its WAL. */
export async function checkSpace(
  deps: ActivityDeps,
  environmentName: string,
  primary: NodeConfig,
): Promise<EvidenceCheck[]> {
  const environment = environmentOf(deps.config, environmentName);
  const root = sandboxRootOf(environment, sandboxHostOf(environment));
  return attempt('sandbox-space', 'room for one recovery', async () => {
    const size = await connectNode(deps, environmentName, primary.name, {}, async (client) => {
      const { rows } = await client.query<{ bytes: string }>(
        'select sum(pg_database_size(oid))::text as bytes from pg_database where datallowconn',
      );
      return Number(rows[0]?.bytes ?? Number.NaN);
    });
    let existing = path.resolve(root);
    while (!(await pathExists(existing))) existing = path.dirname(existing);
    const facts = await statfs(existing);
    const free = facts.bavail * facts.bsize;
    const need = size * 1.2;
    return [row('sandbox-space', `${gigabytes(need)} free for ${root}`, `${gigabytes(free)} free`, free >= need)];
  });
}

/** Heartbeats come as often as they should: they are how a recovery proves which second it reached. */
export async function checkHeartbeat(
  deps: ActivityDeps,
  environmentName: string,
  primary: NodeConfig,
): Promise<EvidenceCheck[]> {
  const { heartbeat } = environmentOf(deps.config, environmentName);
  if (!heartbeat.enabled) return [];
  // Two may be missed while a worker restarts.
  const limit = heartbeat.every * 3 + 5;
  const expected = `newest below ${age(limit)}`;
  return attempt('heartbeat', expected, () =>
    connectNode(deps, environmentName, primary.name, {}, async (client) => {
      const { rows } = await client.query<{ seconds: number | null }>(
        'select extract(epoch from clock_timestamp() - max(at))::float8 as seconds from pgr.heartbeat',
      );
      const seconds = rows[0]?.seconds ?? null;
      return [
        row(
          'heartbeat',
          expected,
          seconds === null ? 'none' : `${age(seconds)} old`,
          seconds !== null && seconds < limit,
        ),
      ];
    }),
  );
}

/** Without a record no change happens (invariant 9). A record store in S3 is asked by whoever writes to it. */
export async function checkRecord(deps: ActivityDeps): Promise<EvidenceCheck[]> {
  const { record } = deps.config;
  if (record.kind !== 'directory') return [];
  const problem = await access(record.path, constants.W_OK).then(
    () => null,
    (error: unknown) => codeOf(error),
  );
  // The store makes its directory with the first record.
  const ok = problem === null || problem === 'ENOENT';
  return [row('record', `${record.path} is writable`, problem ?? 'writable', ok)];
}
