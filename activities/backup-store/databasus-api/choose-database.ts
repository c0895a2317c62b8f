/** Which physical database of the controller is this environment's. A user may see several, and names are not unique. */
import { stepFailure } from '../../lib/failure.js';
import { listDatabases, listWorkspaces } from './api.js';
import type { DatabaseRow } from './schemas.js';
import type { Session } from './session.js';

/** What the config says; null where it says nothing. */
export type Choice = { workspace: string | null; database: string | null; systemIdentifier: string | null };

export type ChosenDatabase = {
  id: string;
  name: string;
  workspaceId: string;
  workspace: string;
  /** The user's role in the workspace, null when the controller does not say. */
  role: string | null;
  systemIdentifier: string;
  postgresMajor: number;
  walSegmentBytes: number;
  backupType: string;
  /** What the controller says of the last backup that failed. */
  lastError: string | null;
};

const PHYSICAL = 'POSTGRES_PHYSICAL';
const DEFAULT_SEGMENT_BYTES = 16 * 1024 * 1024;

type Found = { row: DatabaseRow; workspace: string; workspaceId: string; role: string | null };

/** Throws NotFound, IdentityMismatch or ConfigInvalid, each with the databases that there are. */
export async function chooseDatabase(session: Session, choice: Choice): Promise<ChosenDatabase> {
  const all = await physicalDatabases(session, choice.workspace);
  const named = all.filter(({ row }) => choice.database === null || [row.id, row.name].includes(choice.database));
  if (named.length === 0) {
    throw stepFailure(
      'NotFound',
      `user ${session.email} sees no physical database${choice.database === null ? '' : ` "${choice.database}"`} at ${session.where}; it sees ${describe(all)}`,
      { hint: 'check backups.database and backups.workspace, and that the user is a member of the workspace' },
    );
  }
  const pin = choice.systemIdentifier;
  const ours = named.filter(({ row }) => pin === null || row.postgresqlPhysical?.systemIdentifier === pin);
  if (ours.length === 0) {
    throw stepFailure(
      'IdentityMismatch',
      `the controller has no database of system ${pin ?? ''}; it has ${describe(named)}`,
      {
        hint: 'nothing was touched; correct backups.systemIdentifier or backups.database in the config',
      },
    );
  }
  const [only] = ours;
  if (only === undefined || ours.length > 1) {
    throw stepFailure(
      'ConfigInvalid',
      `the controller has ${String(ours.length)} databases that fit: ${describe(ours)}`,
      {
        hint: 'say which one it is with backups.database (its id) in the config',
      },
    );
  }
  return chosen(only);
}

async function physicalDatabases(session: Session, workspace: string | null): Promise<Found[]> {
  const seen = await listWorkspaces(session);
  const wanted = seen.filter(({ id, name }) => workspace === null || [id, name].includes(workspace));
  if (wanted.length === 0) {
    throw stepFailure(
      'NotFound',
      `user ${session.email} sees no workspace${workspace === null ? '' : ` "${workspace}"`} at ${session.where}; it sees ${seen.map(({ name }) => name).join(', ') || 'none'}`,
      { hint: 'add the user to the workspace in the controller, or correct backups.workspace' },
    );
  }
  const lists = await Promise.all(
    wanted.map(async ({ id, name, userRole }): Promise<Found[]> => {
      const rows = await listDatabases(session, id);
      return rows.map((row) => ({ row, workspace: name, workspaceId: id, role: userRole ?? null }));
    }),
  );
  return lists.flat().filter(({ row }) => row.type === PHYSICAL);
}

function chosen({ row, workspace, workspaceId, role }: Found): ChosenDatabase {
  const physical = row.postgresqlPhysical;
  const systemIdentifier = physical?.systemIdentifier ?? '';
  const postgresMajor = Number.parseInt(physical?.version ?? '', 10);
  if (!/^\d{1,20}$/.test(systemIdentifier) || Number.isNaN(postgresMajor)) {
    throw stepFailure('PreconditionFailed', `the controller does not know the system identifier of "${row.name}" yet`, {
      hint: 'it learns it with the first connection to the source: test the connection in the controller',
    });
  }
  return {
    id: row.id,
    name: row.name,
    workspaceId,
    workspace,
    role,
    systemIdentifier,
    postgresMajor,
    walSegmentBytes: physical?.walSegmentSizeBytes ?? DEFAULT_SEGMENT_BYTES,
    backupType: physical?.backupType ?? 'unknown',
    lastError: row.lastBackupErrorMessage ?? null,
  };
}

function describe(found: readonly Found[]): string {
  const lines = found.map(
    ({ row, workspace }) =>
      `${row.name} (${row.id}, workspace ${workspace}, system ${row.postgresqlPhysical?.systemIdentifier ?? 'unknown'})`,
  );
  return lines.length === 0 ? 'none' : lines.join(', ');
}
