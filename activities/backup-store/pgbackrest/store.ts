/**
 * The backup store of kind `pgbackrest`: a stanza that the team's own pgBackRest (2.45 or newer) fills. pgBackRest restores the bases and takes new ones; the WAL is
 * read by us, so that the boundary of a target is known before anything is restored. Its repository is never written to except by pgBackRest.
 */
import type { PgbackrestConfig } from '../../../config/schema.js';
import type { BackupStore, ResolvedTarget } from '../../lib/backup-store.js';
import type { ProgramPaths } from '../../lib/deps.js';
import type { RunAs } from '../../lib/exec.js';
import { lastCommit } from '../last-commit.js';
import { resolveTarget } from '../resolve-target.js';
import { jobCommand } from '../s3-store.js';
import { parseWalObjectName } from '../wal-archive.js';
import { computeWindow } from '../window.js';
import { abandonTimeline } from './abandon-timeline.js';
import { checkStanza } from './check.js';
import { refuseTablespaces } from './open-base.js';
import { pauseStanza, resumeStanza } from './pause.js';
import { createPgbackrest, type Pgbackrest } from './run.js';
import { pgbackrestUser } from './user.js';
import { createStanzaView, type Stanza, type StanzaView } from './view.js';

type PgbackrestStoreInput = {
  config: PgbackrestConfig;
  environment: string;
  /** Data directories of the nodes. */
  dataDirs: readonly string[];
  program: ProgramPaths;
};

/** The store of an environment. pgBackRest is not asked yet: it need not be on every host that has a worker. */
export async function createPgbackrestStore(input: PgbackrestStoreInput): Promise<BackupStore> {
  const { config, environment, program } = input;
  const runAs = await pgbackrestUser(input.dataDirs);
  const source = stanzaOf(config, runAs);
  const look = (live: { systemIdentifier: string } | null): StanzaView =>
    createStanzaView(source, live?.systemIdentifier ?? null);
  return {
    kind: 'pgbackrest',
    baseProof: 'the checksum of every file by the manifest of pgBackRest, checked while it restored them',
    takesBases: true,
    async window(request) {
      const view = look(request.live);
      return withNotes(view, await computeWindow(view, request));
    },
    async resolveTarget(request) {
      const view = look(request.live);
      const resolved = await resolveTarget(view, request);
      await refuseUnrestorable(source, view, resolved);
      return withNotes(view, resolved);
    },
    lastCommit: (request) => lastCommit(look(null), request),
    fetchCommand: jobCommand(program, environment, 'fetch-pgbackrest'),
    takeBaseCommand: jobCommand(program, environment, 'backup-pgbackrest'),
    async walPresence(name) {
      const view = look(null);
      const found = await view.objects.list(view.walPrefix + name);
      const names = found.map(({ key }) => parseWalObjectName(key.slice(view.walPrefix.length))?.name);
      return names.includes(name) ? 'found' : 'missing';
    },
    // It keeps the WAL of each cluster apart and takes that of the current one only: what came before is no danger.
    async systems() {
      const { systemIdentifier } = await createStanzaView({ ...source, systemIdentifier: null }, null).catalog();
      return systemIdentifier === null ? [] : [systemIdentifier];
    },
    pause: () => pauseStanza(source),
    resume: () => resumeStanza(source),
    abandonTimeline: (timeline, run) => abandonTimeline(source, backupProgramOf(config, runAs), timeline, run),
    check: () => checkStanza(source),
  };
}

/** The stanza of a config, asked as `runAs`. */
export function stanzaOf(config: PgbackrestConfig, runAs: RunAs | null): Stanza {
  const { command, stanza, repo = null, systemIdentifier = null } = config;
  return { pgbackrest: createPgbackrest({ command, stanza, runAs }), stanza, repo, systemIdentifier };
}

/** The program that takes bases and marks them: where the repository is on a host of its own, that is another command. */
export function backupProgramOf({ command, backupCommand, stanza }: PgbackrestConfig, runAs: RunAs | null): Pgbackrest {
  return createPgbackrest({ command: backupCommand ?? command, stanza, runAs });
}

async function refuseUnrestorable(source: Stanza, view: StanzaView, { baseChain }: ResolvedTarget): Promise<void> {
  const { bases } = await view.catalog();
  const chosen = bases.find(({ header }) => header.id === baseChain[0]?.id);
  if (chosen !== undefined) await refuseTablespaces(source, chosen);
}

/** What the repository holds and nobody can use belongs to the answer. */
async function withNotes<T extends { warnings: string[] }>(view: StanzaView, answer: T): Promise<T> {
  return { ...answer, warnings: [...answer.warnings, ...(await view.notes())] };
}
