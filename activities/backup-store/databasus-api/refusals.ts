/** What the controller's answers mean, as typed failures. Status and text as measured with v3.49. */
import { stepFailure } from '../../lib/failure.js';
import type { ApiAnswer } from './http.js';

/** The text of an error answer; empty when it has none. */
export function errorText({ body }: Pick<ApiAnswer, 'body'>): string {
  if (typeof body !== 'object' || body === null || !('error' in body)) return '';
  return typeof body.error === 'string' ? body.error.slice(0, 300) : '';
}

/** The failure for an answer that is not good. `what` says what was asked for: "read the list of backups". */
export function refusal(where: string, what: string, answer: Pick<ApiAnswer, 'status' | 'body'>): Error {
  const { status } = answer;
  const text = errorText(answer);
  const message = `the controller at ${where} did not ${what}: ${text === '' ? 'no reason given' : text} (status ${String(status)})`;
  if (status === 401) return stepFailure('CredentialsRefused', message);
  if (status === 403 || /insufficient permissions/.test(text)) {
    return stepFailure('NotAllowed', message, {
      hint: 'name a user who is a member of the workspace in backups.operator, or do it in the controller',
    });
  }
  if (status === 404 || /record not found|invalid database ID/.test(text)) {
    return stepFailure('NotFound', message, {
      hint: 'check backups.database and backups.workspace in the config; `pgr check` lists what the user sees',
    });
  }
  if (status === 409 || status === 429 || status >= 500) {
    return stepFailure('StoreUnavailable', message, {
      hint: 'it is tried again by itself; if it stays, look at the log of the controller, then `pgr retry`',
    });
  }
  return stepFailure('PreconditionFailed', message);
}

/** The failure for a sign-in that was refused. A wrong password is status 400, a user without one 500 with an empty body. */
export function signInRefusal(where: string, email: string, answer: ApiAnswer): Error {
  const { status } = answer;
  const text = errorText(answer);
  if (status === 500 && text === '') {
    return stepFailure('CredentialsRefused', `the controller at ${where} has no password for user ${email}`, {
      hint: 'set one in the controller (a fresh or renamed admin has none), or sign in with another user: backups.email',
    });
  }
  if (status === 400 || status === 401) {
    return stepFailure('CredentialsRefused', `the controller at ${where} refuses user ${email}: ${text}`, {
      hint: 'check backups.email and backups.password in the config, then `pgr retry`',
    });
  }
  return refusal(where, `sign in user ${email}`, answer);
}

/** The failure for an answer whose shape is not the known one. */
export function notUnderstood(where: string, what: string, problem: string): Error {
  return stepFailure(
    'PreconditionFailed',
    `the controller at ${where} answered "${what}" in an unknown way: ${problem}`,
    {
      hint: 'this was made for Databasus v3.44 to v3.49; see which version runs: GET /api/v1/system/version',
    },
  );
}
