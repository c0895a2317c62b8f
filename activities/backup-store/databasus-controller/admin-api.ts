/** Calls that set a controller up, as recorded of v3.49. Each one is looked for before it is made; its secrets are in no message. */
import { z } from 'zod';

import { stepFailure } from '../../lib/failure.js';
import type { ApiAnswer, Http } from '../databasus-api/http.js';
import { errorText, refusal, signInRefusal } from '../databasus-api/refusals.js';
import { understand } from '../databasus-api/schemas.js';
import type { Credentials, Session } from '../databasus-api/session.js';

const hasPasswordSchema = z.object({ hasPassword: z.boolean() });
const storageSchema = z.object({
  id: z.string(),
  name: z.string(),
  type: z.string(),
  s3Storage: z.object({ s3Bucket: z.string(), s3Endpoint: z.string(), s3Prefix: z.string() }).nullish(),
});
const connectionSchema = z.object({ code: z.string() });

export type StorageRow = z.output<typeof storageSchema>;

/** True when the controller is up: its own health endpoint, which needs no user. */
export async function isHealthy(http: Http): Promise<boolean> {
  return (await http.ask({ method: 'GET', path: '/system/health' })).status === 200;
}

/** False for a controller that nobody has signed up at yet. Needs no user. */
export async function hasAdminPassword(http: Http): Promise<boolean> {
  const what = 'say whether it has an admin';
  const answer = await http.ask({ method: 'GET', path: '/users/admin/has-password' });
  if (answer.status !== 200) throw refusal(http.where, what, answer);
  return understand(hasPasswordSchema, answer.body, http.where, what).hasPassword;
}

/** The first registration of a fresh controller. */
export async function setAdminPassword(http: Http, password: string): Promise<void> {
  const answer = await http.ask({ method: 'POST', path: '/users/admin/set-password', body: { password } });
  if (answer.status !== 200) throw withoutSecrets(http.where, 'set the admin password', answer, [password]);
}

/** Whether a user can sign in. Throws CredentialsRefused when the user is there with another password. */
export async function hasUser(http: Http, { email, password }: Credentials): Promise<boolean> {
  const answer = await http.ask({ method: 'POST', path: '/users/signin', body: { email, password } });
  if (answer.status === 200) return true;
  if (answer.status === 400 && /does not exist/.test(errorText(answer))) return false;
  throw signInRefusal(http.where, email, answer);
}

/** Makes a user. */
export async function signUp(http: Http, { email, password }: Credentials): Promise<void> {
  const name = email.replace(/@.*$/, '');
  const answer = await http.ask({ method: 'POST', path: '/users/signup', body: { email, password, name } });
  if (answer.status !== 200) throw withoutSecrets(http.where, `make user ${email}`, answer, [password]);
}

/** Makes a workspace. */
export async function createWorkspace(admin: Session, name: string): Promise<void> {
  await admin.ask({ method: 'POST', path: '/workspaces', body: { name } }, `make workspace ${name}`);
}

/** Makes a user a member of a workspace. */
export async function addMember(admin: Session, workspaceId: string, email: string, role: string): Promise<void> {
  const path = `/workspaces/memberships/${workspaceId}/members`;
  await admin.ask({ method: 'POST', path, body: { email, role } }, `add ${email} to the workspace`);
}

/** Storages of a workspace. */
export async function listStorages(session: Session, workspaceId: string): Promise<StorageRow[]> {
  const what = 'list the storages';
  const path = `/storages?workspace_id=${encodeURIComponent(workspaceId)}`;
  const answer = await session.ask({ method: 'GET', path }, what);
  return understand(z.array(storageSchema), answer.body, session.where, what);
}

export type Body = Record<string, unknown>;

/** Lets the controller itself reach the bucket. Throws PreconditionFailed with its words when it cannot. */
export async function testStorage(session: Session, body: Body, secrets: readonly string[]): Promise<void> {
  const answer = await session.ask(
    { method: 'POST', path: '/storages/direct-test', body },
    'test the bucket',
    [200, 400, 500],
  );
  if (answer.status === 200) return;
  throw withoutSecrets(session.where, 'reach the bucket', answer, secrets);
}

/** Adds a storage. */
export async function createStorage(session: Session, body: Body, secrets: readonly string[]): Promise<void> {
  const answer = await session.ask({ method: 'POST', path: '/storages', body }, 'add the storage', [200, 400, 500]);
  if (answer.status !== 200) throw withoutSecrets(session.where, 'add the storage', answer, secrets);
}

/** Lets the controller itself reach a source. The code says what it does not have; null when all is well. */
export async function testConnection(session: Session, body: Body, secrets: readonly string[]): Promise<string | null> {
  const request = { method: 'POST', path: '/databases/test-connection-direct', body } as const;
  const answer = await session.ask(request, 'reach the database', [200, 400]);
  if (answer.status === 200) return null;
  const said = connectionSchema.safeParse(answer.body);
  if (said.success) return said.data.code;
  throw withoutSecrets(session.where, 'reach the database', answer, secrets);
}

/** Adds a database. Its answer holds the password in another form, so it is not read: the list is. */
export async function createDatabase(session: Session, body: Body, secrets: readonly string[]): Promise<void> {
  const answer = await session.ask({ method: 'POST', path: '/databases/create', body }, 'add the database', [201, 400]);
  if (answer.status !== 201) throw withoutSecrets(session.where, 'add the database', answer, secrets);
}

/** The controller may repeat what it was sent. */
function withoutSecrets(where: string, what: string, answer: ApiAnswer, secrets: readonly string[]): Error {
  const said = errorText(answer);
  const text = secrets.reduce((kept, secret) => (secret === '' ? kept : kept.replaceAll(secret, '***')), said);
  if (answer.status === 401 || answer.status === 403) return refusal(where, what, { ...answer, body: { error: text } });
  return stepFailure(
    'PreconditionFailed',
    `the controller at ${where} did not ${what}: ${text === '' ? 'no reason given' : text} (status ${String(answer.status)})`,
    { hint: 'mend what it names, then `pgr retry`: what was made already is found again' },
  );
}
