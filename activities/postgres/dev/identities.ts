/**
 * System identifiers of the environments: what the config pins, what their nodes say now, and what they said before (kept in a file, so that a machine
 * without a network refuses them too).
 */
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import type { EnvironmentConfig } from '../../../config/schema.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { writeWhole } from '../../lib/write-whole.js';
import { connectNode } from '../connection.js';
import { codeOf } from '../data-directory.js';

export type Identities = {
  /** Environment by system identifier. */
  known: Map<string, string>;
  /** Environments of which nothing could be found out. */
  unknown: string[];
};

type Memory = Record<string, string[]>;

/** A node answers in milliseconds, a busy one in seconds, and without an answer the target is refused; a developer at home waits this long once. */
const NODE_TIMEOUT_MS = 5_000;

export async function readIdentities(deps: Pick<ActivityDeps, 'config' | 'resolveSecret'>): Promise<Identities> {
  const { config } = deps;
  const file = path.join(config.stateDir, 'restore-dev', 'identities.json');
  const memory = await readMemory(file);
  const live = await Promise.all(
    Object.entries(config.environments).map(
      async ([name, environment]) => [name, await askNodes(deps, name, environment)] as const,
    ),
  );
  const next: Memory = Object.fromEntries(
    live.map(([name, ids]) => [name, [...new Set([...(memory[name] ?? []), ...ids])]]),
  );
  if (JSON.stringify(next) !== JSON.stringify(memory)) await writeMemory(file, next);
  const known = new Map<string, string>();
  const unknown: string[] = [];
  for (const [name, environment] of Object.entries(config.environments)) {
    const ids = [...pinned(environment), ...(next[name] ?? [])];
    if (ids.length === 0) unknown.push(name);
    for (const id of ids) known.set(id, name);
  }
  return { known, unknown };
}

/** What the config says by itself. */
function pinned({ backups, otherBackups, dev }: EnvironmentConfig): string[] {
  const stores = [backups, ...Object.values(otherBackups)];
  const ofStores = stores.flatMap((store) =>
    'systemIdentifier' in store && store.systemIdentifier !== undefined ? [store.systemIdentifier] : [],
  );
  return [...ofStores, ...(dev?.neverInto ?? [])];
}

async function askNodes(
  deps: Pick<ActivityDeps, 'config' | 'resolveSecret'>,
  name: string,
  { nodes }: EnvironmentConfig,
): Promise<string[]> {
  const options = { connectTimeoutMs: NODE_TIMEOUT_MS, statementTimeoutMs: NODE_TIMEOUT_MS };
  const answers = await Promise.all(
    nodes.map((node) =>
      connectNode(deps, name, node.name, options, async (client) => {
        const { rows } = await client.query<{ id: string }>(
          'select system_identifier::text as id from pg_control_system()',
        );
        return rows[0]?.id ?? null;
      }).catch(() => null),
    ),
  );
  return [...new Set(answers.filter((id) => id !== null))];
}

/** A memory that cannot be read is not an empty one: what it refused would be allowed. */
async function readMemory(file: string): Promise<Memory> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Memory;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return {};
    throw stepFailure('PreconditionFailed', `cannot read the known system identifiers in ${file} (${code})`, {
      hint: 'nothing was touched; mend the file, or remove it while the nodes of all environments answer',
    });
  }
}

async function writeMemory(file: string, memory: Memory): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  await writeWhole(file, `${JSON.stringify(memory)}\n`);
}
