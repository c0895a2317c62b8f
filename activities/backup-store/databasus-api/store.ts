/** The backup store of kind `databasus`: a Databasus controller, through its API. */
import type { StoreConfig } from '../../../config/schema.js';
import type { BackupStore } from '../../lib/backup-store.js';
import type { ProgramPaths } from '../../lib/deps.js';
import type { Patience } from '../s3-retry.js';
import { jobCommand } from '../s3-store.js';
import { readCatalog, type Catalog } from './catalog.js';
import { checkController } from './check.js';
import type { Choice } from './choose-database.js';
import { createHttp } from './http.js';
import { SHORT } from './patience.js';
import { pauseBackups, resumeBackups, type PauseDeps } from './pause.js';
import { planTarget } from './plan-target.js';
import { createSession, type Session } from './session.js';
import { walPresence } from './wal-presence.js';
import { windowOfLists } from './window.js';

export type ControllerConfig = Extract<StoreConfig, { kind: 'databasus' }>;

export type ControllerStoreInput = {
  config: ControllerConfig;
  environment: string;
  resolveSecret: (reference: string) => Promise<string>;
  program: ProgramPaths;
  /** Where this worker keeps what it has to remember. */
  stateDir: string;
};

/** The store of an environment. Throws CredentialsRefused when the password cannot be read; the controller itself is not asked yet. */
export async function createControllerStore(input: ControllerStoreInput): Promise<BackupStore> {
  const { config, environment, program, stateDir } = input;
  const session = await sessionOf(config, input.resolveSecret, SHORT);
  const operator = await operatorSessionOf(config, input.resolveSecret, SHORT);
  return createStoreOver({
    session,
    operator,
    choice: choiceOf(config),
    limits: { baseSeconds: config.maxBaseAge, walSeconds: config.maxWalAge },
    memory: { stateDir, environment },
    fetchCommand: jobCommand(program, environment, 'fetch-databasus-api'),
    takeBaseCommand: jobCommand(program, environment, 'take-base-databasus'),
    now: () => new Date(),
  });
}

type StoreInput = {
  session: Session;
  /** Of the user who may change something. */
  operator: Session;
  choice: Choice;
  limits: { baseSeconds: number; walSeconds: number };
  memory: PauseDeps['memory'];
  fetchCommand: (specPath: string) => string[];
  takeBaseCommand: (specPath: string) => string[];
  now: () => Date;
};

/** The store over any session. */
export function createStoreOver(input: StoreInput): BackupStore {
  const { session, choice } = input;
  const catalog = (): Promise<Catalog> => readCatalog(session, choice);
  return {
    kind: 'databasus',
    baseProof: 'SHA-256 of every file: that of the stream and that of the manifest of the base',
    takesBases: true,
    walReceiver: 'databasus_wal_receiver_',
    window: async (request) => windowOfLists(await catalog(), request),
    resolveTarget: async (request) => planTarget(await catalog(), request),
    // The commits of the archive cannot be read without fetching it with its bases.
    lastCommit: () => Promise.resolve(null),
    walPresence: (name) => walPresence(session, choice, name),
    fetchCommand: input.fetchCommand,
    takeBaseCommand: input.takeBaseCommand,
    pause: (run) => pauseBackups({ ...input, session: input.operator }, run),
    resume: (run) => resumeBackups({ ...input, session: input.operator }, run),
    // The controller has no place for such a mark: it follows its source, and begins a new chain there.
    abandonTimeline: () => Promise.resolve('already-marked'),
    check: () => checkController({ session, catalog, limits: input.limits, now: input.now }),
  };
}

/** A session of the user who reads and restores. */
export async function sessionOf(
  { url, email, password }: ControllerConfig,
  resolveSecret: ControllerStoreInput['resolveSecret'],
  patience: Patience,
): Promise<Session> {
  return createSession(createHttp(url), { email, password: await resolveSecret(password) }, patience);
}

/** A session of the user who pauses backups and asks for bases. */
export async function operatorSessionOf(
  config: ControllerConfig,
  resolveSecret: ControllerStoreInput['resolveSecret'],
  patience: Patience,
): Promise<Session> {
  return sessionOf({ ...config, ...config.operator }, resolveSecret, patience);
}

/** What the config says about which database it is. */
export function choiceOf({ workspace, database, systemIdentifier }: ControllerConfig): Choice {
  return {
    workspace: workspace ?? null,
    database: database ?? null,
    systemIdentifier: systemIdentifier ?? null,
  };
}
