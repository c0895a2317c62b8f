/**
 * The backup store of kind `barman-cloud`: what barman-cloud-backup and barman-cloud-wal-archive (also those inside CloudNativePG) put into a bucket. It is only read;
 * neither Barman nor Kubernetes is needed for that, nor the right to write or delete.
 */
import type { BarmanCloudConfig } from '../../../config/schema.js';
import type { BackupStore } from '../../lib/backup-store.js';
import type { ProgramPaths } from '../../lib/deps.js';
import { stepFailure } from '../../lib/failure.js';
import { lastCommit } from '../last-commit.js';
import { resolveTarget } from '../resolve-target.js';
import { readCredentials } from '../s3-access.js';
import { createObjectStore } from '../s3-objects.js';
import { jobCommand } from '../s3-store.js';
import { parseWalObjectName } from '../wal-archive.js';
import { computeWindow } from '../window.js';
import { checkBarmanStore } from './check.js';
import { createBarmanView, readOnly, type BarmanView } from './view.js';

type BarmanCloudStoreInput = {
  config: BarmanCloudConfig;
  environment: string;
  resolveSecret: (reference: string) => Promise<string>;
  program: ProgramPaths;
};

/** The store of an environment. Throws CredentialsRefused when a secret cannot be read; the bucket itself is not asked yet. */
export async function createBarmanCloudStore(input: BarmanCloudStoreInput): Promise<BackupStore> {
  const { config, environment, program } = input;
  const objects = createObjectStore(config, await readCredentials(config, input.resolveSecret));
  const look = (): BarmanView => createBarmanView(objects, config.server);
  return {
    kind: 'barman-cloud',
    baseProof:
      'version, identity and backup_label (barman-cloud keeps no checksums of files: damaged pages come out in the row counts and amcheck)',
    takesBases: false,
    async window(request) {
      const view = look();
      return withNotes(view, await computeWindow(view, request));
    },
    async resolveTarget(request) {
      const view = look();
      return withNotes(view, await resolveTarget(view, request));
    },
    lastCommit: (request) => lastCommit(look(), request),
    fetchCommand: jobCommand(program, environment, 'mover'),
    takeBaseCommand: () => {
      throw readOnly('take bases');
    },
    async walPresence(name) {
      const view = look();
      const found = await view.objects.list(view.walPrefix + name);
      const names = found.map(({ key }) => parseWalObjectName(key.slice(view.walPrefix.length))?.name);
      if (names.includes(name)) return 'found';
      const [unreadable] = view.notes();
      if (unreadable === undefined) return 'missing';
      throw stepFailure('PreconditionFailed', `${name} is in the bucket and cannot be read: ${unreadable}`);
    },
    pause: () => Promise.reject(readOnly('pause backups')),
    // Nothing was paused here, so giving up a pause is done already.
    resume: () => Promise.resolve({ outcome: 'nothing-to-do', note: 'a store of kind barman-cloud is only read' }),
    abandonTimeline: () => Promise.reject(readOnly('mark timelines')),
    check: () => checkBarmanStore(objects, config),
  };
}

/** What the bucket holds and nobody can use belongs to the answer: a base that failed must not look like one that never was. */
function withNotes<T extends { warnings: string[] }>(view: BarmanView, answer: T): T {
  return { ...answer, warnings: [...answer.warnings, ...view.notes()] };
}
