/** The backup store of kind `barman`: a Barman (EnterpriseDB), driven through its own commands; its WAL is read where it lies. */
import type { BarmanConfig } from '../../../config/schema.js';
import type { BackupStore } from '../../lib/backup-store.js';
import type { ProgramPaths } from '../../lib/deps.js';
import { lastCommit } from '../last-commit.js';
import { resolveTarget } from '../resolve-target.js';
import { programFile } from '../s3-store.js';
import { computeWindow } from '../window.js';
import { checkBarman } from './check.js';
import { createBarman } from './run.js';
import { createBarmanView, createPlaces, listWal, type BarmanView } from './view.js';

type BarmanStoreInput = { config: BarmanConfig; environment: string; program: ProgramPaths };

/** The store of an environment; Barman itself is not asked yet. */
export function createBarmanStore({ config, environment, program }: BarmanStoreInput): BackupStore {
  const barman = createBarman(config);
  const places = createPlaces(barman);
  const look = (): BarmanView => createBarmanView(places);
  const programArgs = (name: string, specPath: string): string[] => [
    programFile(program.distDir, name),
    '--config',
    program.configPath,
    '--environment',
    environment,
    specPath,
  ];
  return {
    kind: 'barman',
    async window(request) {
      const view = look();
      return withNotes(view, await computeWindow(view, request));
    },
    async resolveTarget(request) {
      const view = look();
      return withNotes(view, await resolveTarget(view, request));
    },
    lastCommit: (request) => lastCommit(look(), request),
    fetchCommand: (specPath) => programArgs('fetch-barman', specPath),
    takeBaseCommand: (specPath) => programArgs('take-base-barman', specPath),
    async walPresence(name) {
      // A segment that is still being written to is not in the archive.
      const found = (await listWal(places, name)).some((file) => file.name === name && !file.isGrowing);
      return found ? 'found' : 'missing';
    },
    pause: () => Promise.resolve({ outcome: 'nothing-to-do', note: 'todo' }),
    resume: () => Promise.resolve({ outcome: 'nothing-to-do', note: 'todo' }),
    abandonTimeline: () => Promise.resolve('already-marked'),
    check: () => checkBarman(places),
  };
}

/** What Barman has and nobody can use belongs to the answer: a backup that failed must not look like one that never was. */
function withNotes<T extends { warnings: string[] }>(view: BarmanView, answer: T): T {
  return { ...answer, warnings: [...answer.warnings, ...view.notes()] };
}
