/** What every step needs: the settings, the engine of the host, the controller at its address, its admin. */
import type { ActivityDeps } from '../../lib/deps.js';
import type { ContainerEngine } from '../../lib/containers.js';
import { stepFailure } from '../../lib/failure.js';
import { listWorkspaces } from '../databasus-api/api.js';
import { createHttp, type Http } from '../databasus-api/http.js';
import { SHORT } from '../databasus-api/patience.js';
import type { Workspace } from '../databasus-api/schemas.js';
import { createSession, type Session } from '../databasus-api/session.js';
import { controllerSettingsOf, type ControllerSettings } from './settings.js';

export type ControllerDeps = Pick<ActivityDeps, 'config' | 'resolveSecret' | 'containers' | 'program'>;

export type Reach = { settings: ControllerSettings; engine: ContainerEngine; http: Http; admin: Session };

/** Nothing is asked yet but the admin's password of the secret store. */
export async function reachController(deps: ControllerDeps, environment: string): Promise<Reach> {
  const settings = controllerSettingsOf(deps.config, environment);
  const { controller, store } = settings;
  const http = createHttp(store.url);
  const { email, password } = controller.admin;
  const admin = createSession(http, { email, password: await deps.resolveSecret(password) }, SHORT);
  return { settings, engine: deps.containers(controller.dockerHost), http, admin };
}

/** The only workspace of that name that the user sees, null when there is none. Throws PreconditionFailed for several. */
export async function findWorkspace(session: Session, name: string): Promise<Workspace | null> {
  const found = (await listWorkspaces(session)).filter((one) => one.name === name);
  if (found.length > 1) {
    throw stepFailure('PreconditionFailed', `the controller has ${String(found.length)} workspaces called ${name}`, {
      hint: 'rename all but one in the controller, then `pgr retry`',
    });
  }
  return found[0] ?? null;
}

/** The workspace of the config, which an earlier step made. */
export async function requireWorkspace({ admin, settings }: Reach): Promise<Workspace> {
  const { workspace } = settings.controller;
  const found = await findWorkspace(admin, workspace);
  if (found !== null) return found;
  throw stepFailure('NotFound', `the controller has no workspace ${workspace} any more`, {
    hint: 'start `pgr restore-controller` again: it makes what is missing',
  });
}
