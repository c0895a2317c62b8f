/** Admin, workspace and the users of the config. Each is looked for first, so that twice is once. */
import type { ControllerStepInput, SetUpUsersResult } from '../../../shared/contracts/controller.js';
import { stepFailure } from '../../lib/failure.js';
import { faultPoint } from '../../lib/fault-points.js';
import { SHORT } from '../databasus-api/patience.js';
import type { Workspace } from '../databasus-api/schemas.js';
import { createSession, type Credentials } from '../databasus-api/session.js';
import { addMember, createWorkspace, hasAdminPassword, hasUser, setAdminPassword, signUp } from './admin-api.js';
import { findWorkspace, reachController, requireWorkspace, type ControllerDeps, type Reach } from './reach.js';

export const FAULT_ADMIN = 'controller-users:admin';
export const FAULT_WORKSPACE = 'controller-users:workspace';
export const FAULT_USER = 'controller-users:user';

/** Activity `setUpControllerUsers`. */
export function createSetUpControllerUsers(deps: ControllerDeps) {
  return async function setUpControllerUsers({ environment }: ControllerStepInput): Promise<SetUpUsersResult> {
    const reach = await reachController(deps, environment);
    const made = [
      ...(await setUpAdmin(deps, reach)),
      ...(await setUpWorkspace(reach)),
      ...(await setUpMembers(deps, reach)),
    ];
    return { outcome: made.length === 0 ? 'already-there' : 'set-up', made };
  };
}

async function setUpAdmin({ resolveSecret }: ControllerDeps, { http, settings }: Reach): Promise<string[]> {
  const { email, password } = settings.controller.admin;
  if (await hasAdminPassword(http)) return [];
  await setAdminPassword(http, await resolveSecret(password));
  faultPoint(FAULT_ADMIN);
  if (await hasAdminPassword(http)) return [`password of ${email}`];
  throw stepFailure('CommandFailed', 'the controller took the admin password and says that it has none');
}

async function setUpWorkspace(reach: Reach): Promise<string[]> {
  const { admin, settings } = reach;
  const { workspace } = settings.controller;
  if ((await findWorkspace(admin, workspace)) !== null) return [];
  await createWorkspace(admin, workspace);
  faultPoint(FAULT_WORKSPACE);
  await requireWorkspace(reach);
  return [`workspace ${workspace}`];
}

type Member = Credentials & { role: string };

async function setUpMembers(deps: ControllerDeps, reach: Reach): Promise<string[]> {
  const workspace = await requireWorkspace(reach);
  const made: string[] = [];
  for (const member of await membersOf(deps, reach)) made.push(...(await setUpMember(reach, workspace, member)));
  return made;
}

/** The user who pauses backups and asks for bases has to be a member; one who only reads and restores views. */
async function membersOf({ resolveSecret }: ControllerDeps, { settings }: Reach): Promise<Member[]> {
  const { store, controller } = settings;
  const wanted =
    store.operator === undefined
      ? [{ ...store, role: 'WORKSPACE_MEMBER' }]
      : [
          { ...store, role: 'WORKSPACE_VIEWER' },
          { ...store.operator, role: 'WORKSPACE_MEMBER' },
        ];
  return Promise.all(
    wanted
      .filter(({ email }) => email !== controller.admin.email)
      .map(async ({ email, password, role }) => ({ email, password: await resolveSecret(password), role })),
  );
}

async function setUpMember({ http, admin }: Reach, { id, name }: Workspace, member: Member): Promise<string[]> {
  const { email, role } = member;
  const made: string[] = [];
  if (!(await hasUser(http, member))) {
    await signUp(http, member);
    faultPoint(FAULT_USER);
    made.push(`user ${email}`);
  }
  const session = createSession(http, member, SHORT);
  if ((await findWorkspace(session, name))?.id === id) return made;
  await addMember(admin, id, email, role);
  if ((await findWorkspace(session, name))?.id === id) return [...made, `${email} as ${role}`];
  throw stepFailure('CommandFailed', `user ${email} was added to workspace ${name} and does not see it`);
}
