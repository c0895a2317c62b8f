/** The backup store of kind `barman`: a Barman (EnterpriseDB), driven through its own commands; its WAL is read where it lies. */
import type { BarmanConfig } from '../../../config/schema.js';
import type { BackupStore } from '../../lib/backup-store.js';
import type { ProgramPaths } from '../../lib/deps.js';
import { archiveSystems } from '../archive-systems.js';
import { lastCommit } from '../last-commit.js';
import { resolveTarget } from '../resolve-target.js';
import { jobCommand } from '../s3-store.js';
import { computeWindow } from '../window.js';
import { checkBarman } from './check.js';
import { abandonTimeline } from './abandoned.js';
import { createPlaces, listWal } from './places.js';
import { createBarman } from './run.js';
import { receivesByStreaming, resumeStreaming } from './streaming.js';
import { createBarmanView, type BarmanView } from './view.js';

const PAUSE_NOTE =
  'barman goes on by itself: its receiver and its backups fail while production is replaced, and nothing of the archive is touched by that';

type BarmanStoreInput = { config: BarmanConfig; environment: string; program: ProgramPaths };

/** The store of an environment; Barman itself is not asked yet. */
export function createBarmanStore({ config, environment, program }: BarmanStoreInput): BackupStore {
  const barman = createBarman(config);
  const places = createPlaces(barman);
  const look = (): BarmanView => createBarmanView(places);
  return {
    kind: 'barman',
    baseProof:
      'version, identity and backup_label, and by pg_verifybackup every file where the backup has a manifest (one made by rsync has none)',
    takesBases: true,
    async window(request) {
      const view = look();
      return withNotes(view, await computeWindow(view, request));
    },
    async resolveTarget(request) {
      const view = look();
      return withNotes(view, await resolveTarget(view, request));
    },
    lastCommit: (request) => lastCommit(look(), request),
    fetchCommand: jobCommand(program, environment, 'fetch-barman'),
    takeBaseCommand: jobCommand(program, environment, 'take-base-barman'),
    async walPresence(name) {
      // A segment that is still being written to is not in the archive.
      const found = (await listWal(places, name)).some((file) => file.name === name && !file.isGrowing);
      return found ? 'found' : 'missing';
    },
    systems: () => archiveSystems(look()),
    streamsWal: () => receivesByStreaming(places),
    // Barman has no pause that keeps its archive working: `active = false` would also refuse the WAL of the promotion itself.
    pause: () => Promise.resolve({ outcome: 'nothing-to-do', note: PAUSE_NOTE }),
    async resume() {
      const { outcome, note } = await resumeStreaming(places);
      return { outcome: outcome === 'streaming' ? 'resumed' : 'nothing-to-do', note };
    },
    abandonTimeline: (timeline, run) => abandonTimeline(places, timeline, run),
    check: () => checkBarman(places),
  };
}

/** What Barman has and nobody can use belongs to the answer: a backup that failed must not look like one that never was. */
function withNotes<T extends { warnings: string[] }>(view: BarmanView, answer: T): T {
  return { ...answer, warnings: [...answer.warnings, ...view.notes()] };
}
