/** Servers that pgr makes for a developer: where they are, and the note that says that one of them is ours. Their settings are for loading, not for keeping. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import type { DevConfig } from '../../../config/schema.js';
import { devOf } from '../../lib/environment-config.js';
import type { ActivityDeps } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';

export type OwnTarget = Extract<NonNullable<DevConfig['target']>, { kind: 'process' | 'docker' }>;

/** The target of the config when it is one that pgr makes; null for a server that is there. Throws ConfigInvalid when there is none. */
export function ownTargetOf(deps: Pick<ActivityDeps, 'config'>, environment: string): OwnTarget | null {
  const { target } = devOf(deps.config, environment);
  if (target === undefined) {
    throw stepFailure('ConfigInvalid', `environment ${environment} has no dev.target`, {
      hint: 'name a server with --into, or add dev.target to the config',
    });
  }
  return target.kind === 'server' ? null : target;
}

/** Where the note about a server of ours lies. */
export function noteOf(stateDir: string, target: OwnTarget): string {
  const name = target.kind === 'process' ? `process-${String(target.port)}` : `docker-${target.container}`;
  return path.join(stateDir, 'restore-dev', `${name}.json`);
}

/** System identifier of a server that pgr made, null when it has made none. */
export async function readOwnIdentifier(stateDir: string, target: OwnTarget): Promise<string | null> {
  const text = await readFile(noteOf(stateDir, target), 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as { systemIdentifier: string }).systemIdentifier;
}

/** What makes a server for developers quick: nothing is archived or replicated, so rows of new tables need no WAL. A crash still loses no commit but the last. */
export const OWN_SETTINGS: Readonly<Record<string, string>> = {
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '8GB',
  checkpoint_timeout: '30min',
  shared_buffers: '256MB',
  maintenance_work_mem: '256MB',
  synchronous_commit: 'off',
};

/** `-c name=value` for a server. */
export function settingArgs(settings: Readonly<Record<string, string>>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}
